"""Reading from servers that are 20 ms away: this project and coffea's IterativeExecutor, over loops written by hand."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from importlib.util import find_spec
from typing import Any

import servers
from dimuons import Case, by_hand, by_runner, iterative, ours
from measure import NotHereError, Row, in_turns
from profiling import profile

ROUNDS = 5
SERVERS: dict[str, Callable[..., AbstractContextManager[str]]] = {"http": servers.http, "xrootd": servers.xrootd}
NEEDS = {"http": ("aiohttp",), "xrootd": ("XRootD", "fsspec_xrootd")}
CASES = {Case(617, 2, 200_000, 10_000, 1): 1, Case(17, 8, 200_000, 10_000, 1): 2}
"""How many of the files are read."""


def rows(server: str, *, quick: bool) -> Iterator[Row]:
    """Yield the rows of one server.

    Raises:
        NotHereError: the server or a client's library is not on this machine.
    """
    missing = [module for module in NEEDS[server] if find_spec(module) is None]
    if missing:
        raise NotHereError(f"needs {', '.join(missing)}; install pocket-exec[xrootd]")
    for named, number in CASES.items():
        case = named.sized(quick=quick)
        local = case.paths()[:number]
        with SERVERS[server](local) as address:
            paths = [f"{address}{path.name}" for path in local]
            sides = {
                "loop": partial(by_hand, case, paths),
                "loop, whole baskets": partial(by_hand, case, paths, at_once=True),
                "coffea": partial(by_runner, iterative, case, paths),
                "pocket-exec": partial(by_runner, ours, case, paths),
            }
            expected = by_hand(case, local)
            if any(made() != expected for made in sides.values()):
                raise RuntimeError(f"{case.name}: the sides do not agree")
            took = in_turns({name: partial(_wall_s, side) for name, side in sides.items()}, 1 if quick else ROUNDS)
            what = f"{server}, {1e3 * servers.DELAY_S:.0f} ms per request, {case.name}: "
            mine, loop = took["pocket-exec"], took["loop"]
            where = partial(profile, sides["pocket-exec"])
            yield Row(f"{what}pocket-exec", mine, "loop", loop, "s", case.goal, profile=where)
            yield Row(f"{what}pocket-exec", mine, "loop, whole baskets", took["loop, whole baskets"], "s")
            yield Row(f"{what}IterativeExecutor", took["coffea"], "loop", loop, "s")


def _wall_s(side: Callable[[], Any]) -> float:
    gc.collect()
    begin = time.perf_counter()
    side()
    return time.perf_counter() - begin
