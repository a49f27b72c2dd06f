"""The executors that need nothing but this machine: one process, or a pool of them."""

from __future__ import annotations

import logging
from typing import Any

from pocket_exec.engine.pool import SerialPool
from pocket_exec.executors.cpu_baseline import environment
from pocket_exec.executors.factory import ExecutorFactory
from pocket_exec.executors.host import workers_here
from pocket_exec.executors.processes import ProcessPool
from pocket_exec.options.model import FuturesOptions, IterativeOptions

log = logging.getLogger(__name__)


class IterativeExecutorFactory(ExecutorFactory):
    """Process one chunk after the other in this process."""

    name = "iterative"
    options_model = IterativeOptions

    def setup(self) -> None:
        """Nothing to acquire."""

    def customize_args(self, args: dict[str, Any]) -> dict[str, Any]:
        """Run in this process."""
        return {**args, "pool": SerialPool()}

    def close(self) -> None:
        """Nothing to release."""


class FuturesExecutorFactory(ExecutorFactory):
    """Process chunks in ``scaleout`` processes of this machine."""

    name = "futures"
    options_model = FuturesOptions

    _pool: ProcessPool | None = None

    def setup(self) -> None:
        """Make the pool; its processes start with the first chunk."""
        log.info("using %s", workers_here(self.options.scaleout))
        self._pool = ProcessPool(self.options.scaleout, self.module_dirs, environment(self.options))

    def customize_args(self, args: dict[str, Any]) -> dict[str, Any]:
        """Run in the pool."""
        return {**args, "pool": self._pool}

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()
