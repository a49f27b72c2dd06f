"""Submissions, options and commands for the tests of batch systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pocket_exec.batch.system import Resources, Submission
from pocket_exec.command import Completed
from pocket_exec.options.batch import HTCondorOptions, SlurmOptions
from pocket_exec.options.defaults import built_in_executors, defaults_layers, model_for
from pocket_exec.options.layers import Layer
from pocket_exec.options.resolve import resolve

TAG = "pocket-exec-0123456789abcdef"
GB = 10**9
GOLDEN = Path(__file__).parents[2] / "golden"


def batch_options(executor: str, **changes: Any) -> Any:
    """Return the options of an executor, with changes by attribute (``mem_per_worker="1GB"``)."""
    values = {key.replace("_", "-"): value for key, value in changes.items()}
    layers = [Layer("test", values)]
    return resolve(
        executor, model_for(executor), defaults_layers(executor), layers, known_executors=built_in_executors()
    ).options


def htcondor_options(executor: str = "dask@htcondor", **changes: Any) -> HTCondorOptions:
    """Return options of HTCondor."""
    options = batch_options(executor, **changes)
    assert isinstance(options, HTCondorOptions)
    return options


def slurm_options(executor: str = "dask@slurm", **changes: Any) -> SlurmOptions:
    """Return options of Slurm."""
    options = batch_options(executor, **changes)
    assert isinstance(options, SlurmOptions)
    return options


def a_submission(where: str | Path = "/work/ana/out/log/run", **changes: Any) -> Submission:
    """Return a submission of two workers from the directory ``where``."""
    directory = Path(where)
    usual: dict[str, Any] = {
        "tag": TAG,
        "names": ("01234567-0", "01234567-1"),
        "script": directory / "worker.sh",
        "directory": directory,
        "log_directory": directory / "logs",
        "resources": Resources(cores=1, memory=2 * GB, disk=2 * GB),
    }
    return Submission(**{**usual, **changes})


class Answers:
    """A ``run`` that answers from what it is given, by the first word, and remembers what it was asked."""

    def __init__(self, **commands: Completed | str | Exception | Callable[[Sequence[str]], Completed]) -> None:
        self.commands = commands
        self.asked: list[list[str]] = []
        self.env: Mapping[str, str | None] = {}

    def __call__(
        self,
        args: Sequence[str],
        *,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> Completed:
        """Answer."""
        assert timeout_s > 0
        self.asked.append(list(args))
        self.env = env or {}
        answer = self.commands[args[0]]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(args)
        return Completed(tuple(args), 0, answer, "") if isinstance(answer, str) else answer


def failed(said: str, status: int = 1) -> Completed:
    """Return a command that ended with a status other than 0."""
    return Completed(("the", "command"), status, "", said)
