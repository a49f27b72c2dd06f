"""Says where a scheduler's dashboard is, and how it is reached from the user's own machine."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

from pocket_exec.options.model import DaskOptions
from pocket_exec.runs.holder import user_name

log = logging.getLogger(__name__)

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def tell_of_dashboard(options: DaskOptions, scheduler: Any) -> None:
    """Log where the dashboard of ``scheduler`` is, which runs in this process."""
    server = getattr(scheduler, "http_server", None)
    port = getattr(server, "port", None)
    if options.dashboard_address and port:
        for line in dashboard_lines(options, int(port), socket.gethostname(), user_name()):
            log.info("%s", line)


def dashboard_lines(options: DaskOptions, port: int, host: str, user: str) -> Iterator[str]:
    """Yield the dashboard's address and, where only this machine reaches it, the command that brings it home."""
    listens = (options.dashboard_address or "").rpartition(":")[0].strip("[]")
    if options.dashboard_link is not None:
        yield f"dashboard: {_filled(options.dashboard_link, {'host': host, 'port': port})}"
    elif listens in _LOOPBACK:
        yield f"dashboard: http://localhost:{port}/status"
        yield f"from your own machine: {tunnel(user, host, port)}"
    else:
        yield f"dashboard: http://{listens or host}:{port}/status"


def tunnel(user: str, host: str, port: int) -> str:
    """Return the command that brings a port of this machine's loopback to the user's own machine.

    >>> tunnel("ana", "lxplus901.cern.ch", 8787)
    'ssh -N -L 8787:localhost:8787 ana@lxplus901.cern.ch'
    """
    return f"ssh -N -L {port}:localhost:{port} {user}@{host}"


def _filled(template: str, values: dict[str, Any]) -> str:
    """Return ``dashboard-link`` with host, port and variables of the environment filled in, as far as they are known.

    >>> _filled("/user/{WHO_IS_NOT}/proxy/{port}", {"port": 8787})
    '/user//proxy/8787'
    """

    class Known(dict[str, Any]):
        def __missing__(self, name: str) -> str:
            return os.environ.get(name, "")

    try:
        return template.format_map(Known(values))
    except (ValueError, LookupError, AttributeError) as error:
        log.warning("dashboard-link %r cannot be filled in: %s", template, error)
        return template
