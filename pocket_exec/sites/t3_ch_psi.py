"""PSI Tier-3: what is its own is in `executor_defaults/sites/T3_CH_PSI.yaml`."""

from __future__ import annotations

from pocket_exec.executors.batch import SlurmExecutorFactory


class T3CHPSIExecutorFactory(SlurmExecutorFactory):
    """Workers as jobs of PSI's Slurm."""

    name = "dask@T3_CH_PSI"
