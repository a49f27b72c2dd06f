"""Puts what is kept between chunks in place of coffea's work function, where it is the one that we know."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from coffea.processor import Runner

from pocket_exec.engine.reading.call import RunnerCall
from pocket_exec.engine.reading.options import Reading
from pocket_exec.engine.reading.work import ReadChunk

log = logging.getLogger(__name__)


def cheap(function: Callable[[Any], Any], options: Reading) -> Callable[[Any], Any]:
    """Return what gives the same results as Runner's ``function`` at less cost, or ``function`` itself.

    Runner's own retries stay around it. What is returned pickles, and keeps what it keeps in the process that calls it.
    """
    retried = isinstance(function, partial) and function.func is Runner.automatic_retries and len(function.args) == 3
    inner = function.args[2] if retried and isinstance(function, partial) else function
    call = RunnerCall.of(inner)
    if call is None:
        log.info("this function is not the one that coffea's Runner of version 2026.9 hands over: it runs as it is")
        return function
    if reason := _no_way(call):
        log.info("chunks are read as coffea reads them, each by itself: %s", reason)
        return function
    reader = ReadChunk(inner, options)
    if retried and isinstance(function, partial):
        return partial(function.func, *function.args[:2], reader, **function.keywords)
    return reader


def _no_way(call: RunnerCall) -> str:
    """Return why nothing can be kept between chunks; empty where it can."""
    if call.format != "root":
        return f"the format is {call.format}"
    if call.use_dataframes:
        return "the result is made of data frames"
    return "the processor goes by its name" if isinstance(call.processor_instance, str) else ""


@contextmanager
def cheaply(function: Callable[[Any], Any], options: Reading) -> Iterator[Callable[[Any], Any]]:
    """Give ``cheap(function)`` and close what this thread has opened with it."""
    made = cheap(function, options)
    try:
        yield made
    finally:
        inner = made.args[2] if made is not function and isinstance(made, partial) else made
        if isinstance(inner, ReadChunk):
            inner.close()
