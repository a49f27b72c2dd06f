"""Names the jobs of Slurm's arrays, as its commands write and read them: ``12_3``, ``12_[0-2,4]``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby


def on_cluster(cluster: str | None) -> list[str]:
    """Return the words that send a command to a cluster; none for the local one."""
    return ["-M", cluster] if cluster is not None else []


def array_of(job: str) -> str:
    """Return the id of the array that a job is of.

    >>> array_of("12_3"), array_of("12")
    ('12', '12')
    """
    return job.partition("_")[0]


def arrays_of(ids: Iterable[str]) -> list[str]:
    """Return the ids of the arrays that jobs are of, each once."""
    return sorted({array_of(job) for job in ids}, key=int)


def named(ids: Iterable[str], sizes: Mapping[str, int]) -> list[str]:
    """Name jobs as scancel reads them; it needs far longer for elements that are named one by one.

    ``sizes`` is how many elements arrays have, where that is known.

    >>> named(["12_4", "12_0", "12_1", "12_2", "13_0", "13_1", "14_3"], {"12": 6, "13": 2})
    ['12_[0-2,4]', '13', '14_3']
    """
    arrays: dict[str, list[int]] = {}
    for job in ids:
        array, _, task = job.partition("_")
        # A job that is no array's has none.
        arrays.setdefault(array, []).extend([int(task)] if task else [])
    return [_elements(array, tasks, sizes.get(array)) for array, tasks in arrays.items()]


def _elements(array: str, tasks: Iterable[int], size: int | None) -> str:
    numbers = sorted(set(tasks))
    if len(numbers) in (0, size):
        return array
    if len(numbers) == 1:
        return f"{array}_{numbers[0]}"
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return f"{array}_[{','.join(str(run[0]) if len(run) == 1 else f'{run[0]}-{run[-1]}' for run in runs)}]"
