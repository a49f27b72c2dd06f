"""Cheap chunks: file, tree, form and columns kept on the worker, in place of coffea's work function."""

from __future__ import annotations

from pocket_exec.engine.reading.cheap import cheap, cheaply
from pocket_exec.engine.reading.following import announced
from pocket_exec.engine.reading.options import Reading
from pocket_exec.engine.reading.work import ReadChunk

__all__ = ["ReadChunk", "Reading", "announced", "cheap", "cheaply"]
