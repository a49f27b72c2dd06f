"""Writes the batch script of a Slurm job array: what is asked for in, text out.

Source: sbatch's manual page, and trials with version 26.05. A directive's words are quoted as in a shell without
expansions. In names of output files ``%`` begins a replacement, and a backslash is left out.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from pocket_exec.batch.plain_words import plain_word
from pocket_exec.batch.queues import queue_for
from pocket_exec.batch.system import Resources, Submission
from pocket_exec.errors import Fault, OptionsError
from pocket_exec.options.batch import SlurmOptions
from pocket_exec.options.quantities import Duration

_RESERVED = {
    "array": "each worker is one element of the array",
    "job-name": "jobs are found again by it",
    "output": "log-directory says where logs go",
    "error": "log-directory says where logs go",
    "parsable": "the answer is read by this program",
    "wait": "the jobs run beside this program",
    "comment": "a submission is found again by it",
    "wrap": "the script is this project's own",
    "test-only": "--dry-run shows what would be submitted",
}
_INSTEAD_OF = {
    "mem-per-cpu": "mem",
    "mem-per-gpu": "mem",
    "gpus": "gres",
    "gpus-per-node": "gres",
    "gpus-per-task": "gres",
    "requeue": "no-requeue",
}
"""Options that exclude one that is written here."""
_MIB = 2**20


def batch_script(submission: Submission, options: SlurmOptions) -> str:
    """Return the batch script of all jobs of a submission; element ``i`` of the array is worker ``names[i]``.

    Raises:
        OptionsError: a path or setting that a directive cannot hold, a walltime that no partition allows.
    """
    for what, path in (("script", submission.script), ("log-directory", submission.log_directory)):
        _quoted(what, path)
    names = [plain_word("worker", name) for name in submission.names]
    table = textwrap.fill(" ".join(names), 116, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    directives = "\n".join(
        f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={value}"
        for name, value in directives_of(submission, options).items()
    )
    return f"""#!/bin/bash
{directives}

workers=(
{table}
)
worker=${{workers[$SLURM_ARRAY_TASK_ID]}}
logs={shlex.quote(str(submission.log_directory))}
exec /bin/bash {shlex.quote(str(submission.script))} "$worker" >"$logs/$worker.out" 2>"$logs/$worker.err"
"""


def directives_of(submission: Submission, options: SlurmOptions) -> dict[str, str | bool]:
    """Return sbatch's options by their long names, quoted; True for one without a value.

    Raises:
        OptionsError: as ``batch_script``.
    """
    directives: dict[str, str | bool] = dict(_directives(submission, options))
    settings: Mapping[str, bool | str | None] = options.slurm_settings
    for name, value in settings.items():
        directives.pop(_INSTEAD_OF.get(name, ""), None)
        if value is None or value is False:
            directives.pop(name, None)
        else:
            directives[name] = True if value is True else _quoted(f"slurm-settings.{name}", value)
    return directives


def setting_faults(settings: Mapping[str, bool | str | None]) -> list[Fault]:
    """Return what of ``slurm-settings`` cannot stand in a batch script."""
    faults = []
    for name, value in settings.items():
        where = f"slurm-settings.{name}"
        if why := _RESERVED.get(name):
            faults.append(Fault(where, f"cannot be set here: {why}"))
        elif name == "time" and value not in (None, False):
            faults.append(
                Fault(where, "cannot be set here: write walltime, which tells the workers when to leave, too")
            )
        elif not re.fullmatch(r"[a-z][a-z0-9]+(-[a-z0-9]+)*", name):
            faults.append(Fault(where, "is not the long name of an option of sbatch, such as 'qos' or 'mem-per-cpu'"))
        elif isinstance(value, str) and _breaks(value):
            faults.append(Fault(where, f"{value!r} holds a line break; write it in one line"))
    return faults


def _directives(submission: Submission, options: SlurmOptions) -> Iterator[tuple[str, str | bool]]:
    yield "job-name", plain_word("tag", submission.tag)
    yield "comment", plain_word("worker", submission.names[0])
    yield "array", f"0-{len(submission.names) - 1}"
    yield "chdir", _quoted("log-directory", submission.initial_directory)
    # The workers' own output goes elsewhere; this is what Slurm says of them: time limit, memory, a missing directory.
    yield "output", _pattern("log-directory", submission.log_directory / f"{submission.names[0]}.slurm")
    yield "open-mode", "append"
    yield from _resources(submission.resources)
    walltime = submission.resources.walltime_s
    if walltime is not None:
        yield "time", str(Duration(walltime))
    partition = queue_for(submission.queue, walltime, options.queue_limits)
    if partition is not None:
        yield "partition", _quoted("queue", partition)
    if submission.account is not None:
        yield "account", _quoted("accounting-group", submission.account)
    # A worker that is started again comes back under a name that the scheduler has refused.
    yield "no-requeue", True


def _resources(resources: Resources) -> Iterator[tuple[str, str]]:
    yield "nodes", "1"
    yield "ntasks", "1"
    yield "cpus-per-task", str(resources.cores)
    yield "mem", f"{-(-resources.memory // _MIB)}M"
    if resources.disk is not None:
        yield "tmp", f"{-(-resources.disk // _MIB)}M"
    if resources.gpus:
        yield "gres", f"gpu:{resources.gpus}"


def _pattern(what: str, path: Path) -> str:
    text = str(path)
    if "\\" in text:
        raise OptionsError(
            [Fault(what, f"{text!r} holds a backslash, which Slurm leaves out of the name of a log file")]
        )
    return _quoted(what, text.replace("%", "%%"))


def _quoted(what: str, text: str | Path) -> str:
    value = str(text)
    if _breaks(value):
        raise OptionsError([Fault(what, f"{value!r} holds a line break, which cannot be said to Slurm")])
    if re.fullmatch(r"[\w./:,=@+-]+", value, re.ASCII):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _breaks(value: str) -> bool:
    return re.search(r"[\n\r\0]", value) is not None
