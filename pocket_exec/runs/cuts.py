"""Keeps beside the ledger where ``chunksize: auto`` has cut files, for a version that cuts them differently."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pocket_exec.engine.chunks import Cuts
from pocket_exec.runs.atomic import atomic_write

log = logging.getLogger(__name__)

NAME = "cuts.json"
VERSION = 2


def read_cuts(directory: Path) -> Cuts:
    """Return what is kept in a ledger's directory; nothing where that is missing, torn or of another version."""
    path = directory / NAME
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != VERSION:
            return {}
        if content["sha256"] == _digest(content["files"]):
            return dict(_rows(content["files"]))
        why = "its checksum is wrong"
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = str(error)
    log.warning("%s is not used: %s; files are cut anew", path, why)
    return {}


def write_cuts(directory: Path, cuts: Cuts) -> None:
    """Keep ``cuts``, with those of other files that are there.

    Raises:
        OutputDirectoryError: the storage fails.
    """
    there = read_cuts(directory)
    together = {**there, **{file: tuple(ends) for file, ends in cuts.items()}}
    if together == there:
        return
    files = [{"uuid": uuid, "tree": tree, "ends": list(ends)} for (uuid, tree), ends in together.items()]
    text = json.dumps({"version": VERSION, "files": files, "sha256": _digest(files)}, separators=(",", ":"))

    def write(stream: BinaryIO) -> None:
        stream.write(text.encode())

    atomic_write(directory / NAME, write)


def _digest(files: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _rows(files: list[Mapping[str, Any]]) -> Iterator[tuple[tuple[str, str], tuple[int, ...]]]:
    for row in files:
        yield (str(row["uuid"]), str(row["tree"])), tuple(int(end) for end in row["ends"])
