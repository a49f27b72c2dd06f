"""What a chunk costs on one core: this project and coffea's IterativeExecutor, over a loop written by hand.

    python benchmarks/cheap_chunks.py [--quick] [--rounds N] [--only NAME]

All sides do the same arithmetic in one process, in turns. Two loops: one reads chunk by chunk, as one writes it first;
the other reads all chunks of a file's basket at once, which is what an engine that knows the next chunks can do too.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import click
import table
from dimuons import Case, by_hand, by_runner, iterative, ours
from measure import Row, in_turns
from profiling import profile

ROUNDS = 5
CASES = [
    Case(17, 8, 200_000, 10_000, 1.3),
    Case(17, 8, 200_000, 100_000, 1.3),
    Case(617, 2, 200_000, 10_000, 1.3),
    Case(617, 2, 200_000, 100_000, 1.3),
    Case(1499, 30, 40, 40, 1.1, copied=True),
]


def rows(*, quick: bool, rounds: int | None = None, only: Sequence[str] = ()) -> Iterator[Row]:
    """Yield each case's ratios over the loop, by processor time: the wall's follows where nothing else runs."""
    for named in CASES:
        if only and named.name not in only:
            continue
        case = named.sized(quick=quick)
        paths = case.paths()
        sides = {
            "loop": partial(by_hand, case, paths),
            "loop, whole baskets": partial(by_hand, case, paths, at_once=True),
            "coffea": partial(by_runner, iterative, case, paths),
            "pocket-exec": partial(by_runner, ours, case, paths),
        }
        expected = sides["loop"]()
        if any(made() != expected for made in sides.values()):
            raise RuntimeError(f"{case.name}: the sides do not agree")
        print(case.name, flush=True)
        took = in_turns(
            {name: partial(_cpu_ms, side) for name, side in sides.items()}, rounds or (1 if quick else ROUNDS)
        )
        per = len(paths) * len(case.chunks)
        ms = {name: [each / per for each in values] for name, values in took.items()}
        yield Row(
            f"{case.name}: pocket-exec",
            ms["pocket-exec"],
            "loop",
            ms["loop"],
            "ms/chunk",
            case.goal,
            profile=partial(profile, sides["pocket-exec"]),
        )
        yield Row(
            f"{case.name}: pocket-exec", ms["pocket-exec"], "loop, whole baskets", ms["loop, whole baskets"], "ms/chunk"
        )
        yield Row(f"{case.name}: IterativeExecutor", ms["coffea"], "loop", ms["loop"], "ms/chunk")


def _cpu_ms(side: Callable[[], Any]) -> float:
    gc.collect()
    begin = time.process_time()
    side()
    return (time.process_time() - begin) * 1e3


@click.command()
@click.option("--only", multiple=True, type=click.Choice([case.name for case in CASES]), help="Only this.")
@click.option("--quick", is_flag=True, help="Fewer rounds and files: whether it works, not what it takes.")
@click.option("--rounds", type=int, help="Instead of 5.")
def main(only: tuple[str, ...], quick: bool, rounds: int | None) -> None:
    """Measure, and print the ratios."""
    print(table.machine())
    found = list(rows(quick=quick, rounds=rounds, only=only))
    table.show(found)
    print(f"medians of {statistics.median(len(row.ours) for row in found):.0f} rounds, processor time")


if __name__ == "__main__":
    main()
