"""A Dask client that is closed at once, also where its connecting is interrupted."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any

from distributed import Client

_CLOSE_S = 5.0


class OwnClient(Client):
    """A client that is nobody's default, and is closed with a stack.

    What an exception leaves half connected, Ctrl-C for one, Dask would close when it is collected, and wait for a
    minute where the scheduler has gone by then (distributed 2026.8).
    """

    def __init__(self, stack: ExitStack, address: Any, **options: Any) -> None:
        """Connect to the scheduler at ``address``, or of a cluster; ``options`` are those of distributed's ``Client``.

        Raises:
            OSError, TimeoutError, ValueError: there is none.
        """
        try:
            super().__init__(address, set_as_default=False, **options)  # type: ignore[no-untyped-call]  # it has none
            stack.enter_context(self)
        except BaseException:
            with suppress(Exception):
                self.close(timeout=_CLOSE_S)  # type: ignore[no-untyped-call]  # it has none
            self.status = "closed"
            raise
