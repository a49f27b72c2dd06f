"""The cluster's Dask scheduler: on a free port, under the name that workers find it by."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from distributed.scheduler import Scheduler
from distributed.security import Security

from pocket_exec.batch.ports import SchedulerPlace, contact_host, host_in_address, taken


class PortSeekingScheduler(Scheduler):
    """A scheduler that takes the first free port of several."""

    def __init__(self, *, ports: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self._ports = ports

    async def listen(self, port_or_addr: Any = None, allow_offload: bool = True, **options: Any) -> None:
        """Listen on the first port that is free.

        Raises:
            OSError: none is.
        """
        protocol, _, place = str(port_or_addr).partition("://")
        # Without host and interface it is the protocol alone.
        base = f"{protocol}://{place.rpartition(':')[0]}"
        for port in self._ports:
            # Tornado does not close the socket of a port that it cannot have.
            if port and taken(base.partition("://")[2], port):
                continue
            try:
                await super().listen(f"{base}:{port}", allow_offload, **options)  # type: ignore[no-untyped-call]
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
            else:
                return
        raise OSError(errno.EADDRINUSE, f"no port from {min(self._ports)} to {max(self._ports)} is free")


def scheduler_options(place: SchedulerPlace, security: Security | None) -> dict[str, Any]:
    """Return the scheduler's arguments; it listens on all interfaces where none is named."""
    return {
        "ports": place.candidates(),
        "host": None,
        "interface": place.interface,
        "protocol": "tcp://" if security is None else "tls://",
        "security": security,
        "dashboard": place.dashboard_address is not None,
        # Without a dashboard the scheduler still serves its state there.
        "dashboard_address": place.dashboard_address or "127.0.0.1:0",
    }


def contact_address(address: str, place: SchedulerPlace) -> str:
    """Return the scheduler's address as the workers are told it."""
    host = contact_host(place.host)
    if host is None:
        return address
    protocol, _, rest = address.partition("://")
    return f"{protocol}://{host_in_address(host)}:{rest.rpartition(':')[2]}"
