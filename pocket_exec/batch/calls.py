"""Calls what blocks from an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def called(function: Callable[..., T], *arguments: object) -> T:
    """Return what ``function`` returns, called in a thread of its own.

    Unlike ``asyncio.to_thread``, this works while the interpreter ends, and a call that hangs does not keep it from
    ending, nor the loop from closing.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # there is no error, so there is a result

    def call() -> None:
        result: T | None = None
        failed: BaseException | None = None
        try:
            result = function(*arguments)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            failed = error
        # Nobody waits any more when the loop is closed.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=call, name=f"pocket-exec {function.__name__}", daemon=True).start()
    return await future
