"""Holds numpy at ``cpu-baseline`` in the processes that workers are: each has to start in the environment for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pocket_exec.engine.cpu import held_at
from pocket_exec.options.model import GeneralOptions

PRE_SPAWN = "distributed.nanny.pre-spawn-environ"
"""Dask's setting of the environment in which a nanny starts its worker."""


def environment(options: GeneralOptions) -> dict[str, str]:
    """Return the variables that a worker's process needs; none without a baseline."""
    return held_at(options.cpu_baseline) if options.cpu_baseline is not None else {}


def nanny_config(options: GeneralOptions) -> dict[str, Any]:
    """Return the setting with which a nanny in a process of its own gives them to its worker."""
    import dask

    variables = environment(options)
    return {PRE_SPAWN: {**dask.config.get(PRE_SPAWN, {}), **variables}} if variables else {}


@contextmanager
def inherited(options: GeneralOptions) -> Iterator[None]:
    """Let the processes that this one starts have them; nannies in this process would leave theirs behind for good."""
    variables = environment(options)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
