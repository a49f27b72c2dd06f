"""Generate the example's input: NanoAOD files of simulated Drell-Yan and top quark events, and pseudo-data.

    python generate.py [--out DIR] [--events N] [--files N] [--seed S] [--wide N]

The same seed gives the same events (with the same numpy on the same kind of processor). ``samples.json`` beside the
files says what they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from detector import Event, reconstruct
from nanoaod import BASKET_EVENTS, write
from processes import drell_yan, nonprompt, ttbar
from samples import DATA, DRELL_YAN, LUMINOSITY_PB, NONPROMPT_PB, SAMPLES, SQRT_S_GEV, TTBAR, YEAR, Sample
from truth import Truth, join

Process = Callable[[np.random.Generator, int], Truth]

FIRST_RUN = 281_613
"""First run of the CMS data-taking era 2016H: where the pseudo-data pretend to come from."""
EVENTS_PER_LUMI = 1000


def generate(
    out: Path,
    *,
    events: int = 300_000,
    files: int = 8,
    seed: int = 42,
    wide: int = 0,
    luminosity_pb: float = LUMINOSITY_PB,
) -> dict[str, list[Path]]:
    """Write all samples to ``out`` and return the files of each.

    Args:
        out: Directory; it is made.
        events: Simulated events in all samples together. The number of data follows from the luminosity.
        files: Files in all samples together, at least one each.
        seed: Decides every event.
        wide: Further branches in each file, as real NanoAOD has over a thousand and reading them costs time.
        luminosity_pb: Integrated luminosity of the data in 1/pb.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = {}
    for number, sample in enumerate(SAMPLES):
        count = max(round(files * sample.files_share), 1)
        paths = [out / f"{sample.name}_{i}.root" for i in range(count)]
        for i, path in enumerate(paths):
            rng = np.random.default_rng([seed, number, i])
            if sample is DATA:
                blocks = _data(rng, luminosity_pb / count, i)
            else:
                first, last = (round(events * sample.events_share * part / count) for part in (i, i + 1))
                blocks = _simulation(rng, drell_yan if sample is DRELL_YAN else ttbar, first, last)
            write(path, (_widened(block, wide) for block in blocks), is_mc=sample.is_mc)
        written[sample.name] = paths
    _write_summary(out / "samples.json", written, seed, luminosity_pb)
    return written


def _simulation(rng: np.random.Generator, process: Process, first: int, last: int) -> Iterator[Event]:
    """Give the events from number ``first`` to before ``last`` of a process, block by block."""
    for start in range(first, last, BASKET_EVENTS):
        size = min(BASKET_EVENTS, last - start)
        block = reconstruct(rng, process(rng, size))
        yield _numbered(block, np.arange(start, start + size) + 1, run=1)


def _data(rng: np.random.Generator, luminosity_pb: float, file: int) -> Iterator[Event]:
    """Give the events that a luminosity brings and the trigger keeps, in random order."""
    expected = {drell_yan: DRELL_YAN.xsec_pb, ttbar: TTBAR.xsec_pb, nonprompt: NONPROMPT_PB}
    left = {process: rng.poisson((xsec or 0) * luminosity_pb) for process, xsec in expected.items()}
    collisions = sum(left.values())
    done = 0
    while done < collisions:
        size = min(2 * BASKET_EVENTS, collisions - done)
        drawn = rng.multivariate_hypergeometric(list(left.values()), size)
        parts = []
        for process, count in zip(left, drawn, strict=True):
            left[process] -= int(count)
            parts.append(reconstruct(rng, process(rng, int(count))))
        block = _shuffled(rng, parts)
        block = _numbered(block, done + np.arange(size) + 1, run=FIRST_RUN + file)
        yield block.take(block.scalars["HLT_IsoMu24"])
        done += size


def _shuffled(rng: np.random.Generator, parts: list[Event]) -> Event:
    """Put the events of several processes together in random order."""
    size = sum(part.size for part in parts)
    place = rng.permutation(size)
    scalars = {}
    for name in parts[0].scalars:
        values = np.concatenate([part.scalars[name] for part in parts])
        scalars[name] = np.empty_like(values)
        scalars[name][place] = values
    collections = {}
    before = np.cumsum([0, *(part.size for part in parts)])
    for name in parts[0].collections:
        moved = [
            table | {"event": place[table["event"] + offset]}
            for table, offset in zip((part.collections[name] for part in parts), before[:-1], strict=True)
        ]
        table = join(*moved)
        order = np.argsort(table["event"], kind="stable")
        collections[name] = {column: values[order] for column, values in table.items()}
    return Event(size, scalars, collections)


def _numbered(block: Event, number: np.ndarray, run: int) -> Event:
    """Give events their run, luminosity block and number."""
    identity = {
        "run": np.full(block.size, run, dtype=np.uint32),
        "luminosityBlock": (1 + (number - 1) // EVENTS_PER_LUMI).astype(np.uint32),
        "event": number.astype(np.uint64),
    }
    return Event(block.size, identity | block.scalars, block.collections)


def _widened(block: Event, branches: int) -> Event:
    """Add trigger paths that never fire."""
    never = np.zeros(block.size, dtype=bool)
    extra = {f"HLT_Unused{i:04d}": never for i in range(branches)}
    return Event(block.size, block.scalars | extra, block.collections)


def _write_summary(path: Path, written: dict[str, list[Path]], seed: int, luminosity_pb: float) -> None:
    def metadata(sample: Sample) -> dict[str, object]:
        return {"sample": sample.sample, "year": YEAR, "is_mc": sample.is_mc, "xsec": sample.xsec_pb}

    summary = {
        "sqrt_s_gev": SQRT_S_GEV,
        "luminosity_pb": luminosity_pb,
        "seed": seed,
        "samples": {
            sample.name: {"files": [file.name for file in written[sample.name]], "metadata": metadata(sample)}
            for sample in SAMPLES
        },
    }
    path.write_text(json.dumps(summary, indent=2) + "\n")


def main() -> None:
    """Read the command line, generate, and say what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "data", help="directory (default: %(default)s)"
    )
    parser.add_argument("--events", type=int, default=300_000, help="simulated events in all (default: %(default)s)")
    parser.add_argument("--files", type=int, default=8, help="files in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="seed of the random numbers (default: %(default)s)")
    parser.add_argument("--wide", type=int, default=0, metavar="N", help="unused branches to add, as real files have")
    given = parser.parse_args()
    written = generate(given.out, events=given.events, files=given.files, seed=given.seed, wide=given.wide)
    paths = [path for of_sample in written.values() for path in of_sample]
    size_mb = sum(path.stat().st_size for path in paths) / 1e6
    print(f"{len(paths)} files, {size_mb:.0f} MB, in {given.out}")


if __name__ == "__main__":
    main()
