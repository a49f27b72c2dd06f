"""All option models under one roof: general, the kinds of executors, the batch systems."""

from __future__ import annotations

from pocket_exec.options.base import OptionField, Options
from pocket_exec.options.batch import (
    BatchOptions,
    HTCondorOptions,
    LSFOptions,
    PBSOptions,
    SGEOptions,
    SlurmOptions,
)
from pocket_exec.options.kinds import (
    DaskOptions,
    FuturesOptions,
    GatewayOptions,
    GeneralOptions,
    IterativeOptions,
    SchedulerOptions,
)

__all__ = [
    "BatchOptions",
    "DaskOptions",
    "FuturesOptions",
    "GatewayOptions",
    "GeneralOptions",
    "HTCondorOptions",
    "IterativeOptions",
    "LSFOptions",
    "OptionField",
    "Options",
    "PBSOptions",
    "SGEOptions",
    "SchedulerOptions",
    "SlurmOptions",
]
