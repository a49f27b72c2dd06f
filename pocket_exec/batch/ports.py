"""Where workers find the scheduler: its host, and the port that it may take."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

PORTS_TRIED = 100
"""Ports after the wanted one that are tried when it is taken."""


@dataclass(frozen=True)
class SchedulerPlace:
    """Where a scheduler listens, and by which name it is told to the workers."""

    host: str | None = None
    """Name or address that the workers are told; ``fqdn`` and ``hostname`` are worked out, None leaves it to Dask."""
    interface: str | None = None
    """Network interface to listen on; None for all of them."""
    port: int = 0
    """The wanted port; 0 for any."""
    ports: range | None = None
    """The ports that it may take; None for ``port`` and those after it."""
    dashboard_address: str | None = None
    """Host and port of the dashboard; None for no dashboard."""

    def candidates(self) -> Sequence[int]:
        """Return the ports to try, in this order.

        >>> list(SchedulerPlace(port=8001, ports=range(8000, 8003)).candidates())
        [8001, 8002, 8000]
        """
        if self.ports is not None:
            later = [port for port in self.ports if self.port and port >= self.port]
            return [*later, *(port for port in self.ports if port not in later)]
        return [*range(self.port, min(self.port + PORTS_TRIED, 65536)), 0] if self.port else [0]


def contact_host(wanted: str | None) -> str | None:
    """Return the name or address under which workers find this machine; ``fqdn`` and ``hostname`` are worked out."""
    if wanted is None:
        return None
    name = {"fqdn": socket.getfqdn, "hostname": socket.gethostname}.get(wanted, lambda: wanted)()
    if wanted == "fqdn" and name.partition(".")[0] == "localhost":
        log.warning("this machine's full name is %r, which no worker can use; taking its address", name)
        return None
    return name


def host_in_address(host: str) -> str:
    """Return ``host`` as it stands in ``tls://host:port``: an IPv6 address has brackets there.

    >>> host_in_address("::1"), host_in_address("lxplus.cern.ch")
    ('[::1]', 'lxplus.cern.ch')
    """
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def taken(host: str, port: int) -> bool:
    """Whether somebody listens on a port of this machine already; ``host`` is that of an address, "" for all."""
    bare = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in bare else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bare, port))
        except OSError as error:
            return error.errno in (errno.EADDRINUSE, errno.EACCES)
    return False
