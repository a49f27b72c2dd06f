"""Looks for the files that options name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pocket_exec.errors import Fault, OptionsError
from pocket_exec.options.kinds import GeneralOptions
from pocket_exec.options.resolve import Resolved

_TLS_FILES = ("tls-ca-file", "tls-client-cert", "tls-client-key")


def check_files(resolved: Resolved[GeneralOptions], directory: Path) -> None:
    """Look for each file that an option names; ``depends-on`` is relative to ``directory``, that of cfg.py.

    Raises:
        OptionsError: with all files that are not there.
    """
    faults = [
        Fault(key, f"no such file: {path}", resolved.origin(key))
        for key, path in _named(resolved.options, directory)
        if not path.is_file()
    ]
    if faults:
        raise OptionsError(faults)


def _named(options: GeneralOptions, directory: Path) -> Iterator[tuple[str, Path]]:
    yield from (("depends-on", directory / Path(path).expanduser()) for path in options.depends_on)
    known: Sequence[str] = [key for key in _TLS_FILES if key in type(options).option_fields()]
    yield from ((key, Path(path)) for key in known if (path := options.option_value(key)) is not None)
