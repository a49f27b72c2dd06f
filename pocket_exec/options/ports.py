"""Ranges of TCP ports, as firewalls leave them open between submit host and workers."""

from __future__ import annotations

import re
from typing import Any, Self

from pocket_exec.options.parsed import Parsed, shown


class PortRange(Parsed, str):
    """TCP ports from one to another, both included; its text is Dask's: ``10000:10100``."""

    json_type = ("string", "integer")
    pattern = r"^\s*[0-9]+\s*([-:]\s*[0-9]+\s*)?$"
    examples = ("10000:10100", 8786)

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read ``10000:10100``, ``10000-10100`` or one port.

        Raises:
            ValueError: it is no range of ports.
        """
        if isinstance(value, cls):
            return value
        match = re.fullmatch(r"\s*(\d+)\s*(?:[-:]\s*(\d+)\s*)?", str(value), re.ASCII)
        if match is None or isinstance(value, bool):
            raise ValueError(f"{shown(value)} is not a range of ports; write '10000:10100'")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 < first <= last < 2**16:
            raise ValueError(f"{shown(value)} is not a range of ports: from 1 to 65535, the lower one first")
        return cls(f"{first}:{last}" if first != last else f"{first}")

    @property
    def ports(self) -> range:
        """All ports of the range."""
        first, _, last = self.partition(":")
        return range(int(first), int(last or first) + 1)
