"""In words, which parts of a processor's key are others in another one."""

from __future__ import annotations

from pocket_exec.engine.fingerprint import ProcessorKey


def changes(old: ProcessorKey, new: ProcessorKey) -> list[str]:
    """Return a line for each part that decides a result and is not the same in both."""
    lines = ["the class changed"] if old.code != new.code else []
    parts = [("", old.libraries, new.libraries), ("", old.modules, new.modules), ("self.", old.state, new.state)]
    for prefix, then, now in parts:
        for name in sorted(then.keys() | now.keys()):
            if then.get(name) != now.get(name):
                verb = "is new" if name not in then else "is gone" if name not in now else "changed"
                lines.append(f"{prefix}{name} {verb}")
    return lines
