"""Keeps file metadata from run to run, in one file of the user's cache directory."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pocket_exec.engine.metadata import FileInfo

log = logging.getLogger(__name__)

VERSION = 3
LARGEST = 200_000
"""Entries kept; those that were not used for the longest time go first."""

Key = tuple[str, str]
"""A file's name and the tree in it."""


def default_path() -> Path:
    """Return the file of the cache: ``$XDG_CACHE_HOME/pocket-exec/files.json`` or its like."""
    import platformdirs

    return platformdirs.user_cache_path("pocket-exec") / "files.json"


@dataclass
class MetadataCache:
    """Known files. An entry counts only where the file's stamp is the same as when it was read."""

    path: Path
    _entries: dict[Key, dict[str, Any]] = field(default_factory=dict)
    _changed: set[Key] = field(default_factory=set)
    _forgotten: set[Key] = field(default_factory=set)

    @classmethod
    def load(cls, path: Path) -> MetadataCache:
        """Read the cache; one that is missing, torn or of another version is empty."""
        try:
            content = json.loads(path.read_bytes())
            if content["version"] == VERSION:
                return cls(path, {(e["file"], e["tree"]): e for e in content["files"]})
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.info("the cache of file metadata cannot be read and is made anew: %s", error)
        return cls(path)

    def known(self, key: Key) -> bool:
        """Whether there is an entry, right or stale."""
        return key in self._entries

    def find(self, key: Key, stamp: str | None, *, clusters: bool) -> FileInfo | None:
        """Return what is known of a file, if its stamp still holds, with its clusters where they are needed."""
        entry = self._entries.get(key)
        try:
            if entry is None or stamp is None or entry["stamp"] != stamp or (clusters and entry["clusters"] is None):
                return None
            boundaries = tuple(map(int, entry["clusters"])) if clusters else None
            uuid, numbers = bytes.fromhex(entry["uuid"]), (int(entry["bytes"]), int(entry["basket"]))
            info = FileInfo(int(entry["entries"]), uuid, boundaries, stamp, *numbers, str(entry["version"]))
        except (KeyError, TypeError, ValueError):
            return None  # somebody else has written it
        if entry.get("used") != _today():
            entry["used"] = _today()
            self._changed.add(key)
        return info

    def keep(self, found: Mapping[Key, FileInfo]) -> None:
        """Add what was read."""
        for (name, tree), info in found.items():
            if info.stamp is None:
                continue
            entry = {**asdict(info), "uuid": info.uuid.hex(), "file": name, "tree": tree, "used": _today()}
            self._entries[name, tree] = entry
            self._changed.add((name, tree))
            self._forgotten.discard((name, tree))

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop what turned out to be wrong although the stamp is the same."""
        for key in keys:
            self._entries.pop(key, None)
            self._changed.discard(key)
            self._forgotten.add(key)

    def save(self) -> None:
        """Write what changed, beside what other runs have written meanwhile, where it can be written."""
        if not self._changed and not self._forgotten:
            return
        ours = {key: self._entries[key] for key in self._changed}
        merged = {**self._entries, **MetadataCache.load(self.path)._entries, **ours}
        merged = {key: entry for key, entry in merged.items() if key not in self._forgotten}
        newest = sorted(merged.values(), key=lambda entry: str(entry.get("used")))[-LARGEST:]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".files-")
            try:
                with os.fdopen(handle, "w") as out:
                    json.dump({"version": VERSION, "files": newest}, out)
                os.replace(temporary, self.path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            log.info("the cache of file metadata cannot be written: %s", error)
        self._changed.clear()
        self._forgotten.clear()


def _today() -> str:
    today: date = datetime.now(UTC).date()
    return today.isoformat()
