"""CERN lxplus: what is its own is in `executor_defaults/sites/lxplus.yaml`."""

from __future__ import annotations

from pocket_exec.executors.batch import HTCondorExecutorFactory


class LxplusExecutorFactory(HTCondorExecutorFactory):
    """Workers as jobs of CERN's HTCondor."""

    name = "dask@lxplus"
