"""Commands of HTCondor and Slurm that run each job as a process of this machine, for tests that need no farm.

They know what this project asks of the real ones, and no more; what these do is tested on the farm.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

COMMANDS = (
    "condor_submit",
    "condor_q",
    "condor_history",
    "condor_rm",
    "condor_transfer_data",
    "sbatch",
    "squeue",
    "scontrol",
    "scancel",
)


def install(directory: Path) -> Path:
    """Write the commands into a directory for PATH; what they are called with is kept in ``called`` beside it."""
    commands = directory / "bin"
    commands.mkdir(parents=True)
    (directory / "queue").mkdir()
    for name in COMMANDS:
        words = shlex.join([sys.executable, "-I", str(Path(__file__).absolute()), str(directory), name])
        (commands / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (commands / name).chmod(0o755)
    return commands


def jobs_of(directory: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs that are in the queue, by id."""
    return {job: said for job, said in _all_jobs(directory).items() if _ended(directory, job) is None}


def _all_jobs(directory: Path) -> dict[str, dict[str, Any]]:
    jobs = {}
    for path in sorted((directory / "queue").glob("*.job")):
        # One may be cancelled at any moment.
        with suppress(FileNotFoundError):
            jobs[path.stem] = json.loads(path.read_text())
    return jobs


def _condor_submit(farm: Path, words: Sequence[str]) -> str:
    text = Path(words[-1]).read_text()
    said = dict(re.findall(r"^(\S+) = (.*)$", text, re.MULTILINE))
    names = re.findall(r"^  (\S+)$", text.partition("queue Worker in (")[2], re.MULTILINE)
    cluster = _new_cluster(farm)
    spooled = "-spool" in words
    where = farm / "scratch" / str(cluster) if said["should_transfer_files"] == "YES" else Path(said["initialdir"])
    for proc, name in enumerate(names):
        directory = where / str(proc) if where != Path(said["initialdir"]) else where
        directory.mkdir(parents=True, exist_ok=True)
        for file in filter(None, said.get("transfer_input_files", "").split(", ")):
            (directory / Path(file).name).write_bytes(Path(file).read_bytes())
        logs = directory if spooled else Path(said["output"]).parent
        _start(farm, f"{cluster}.{proc}", said["batch_name"], name, said["executable"], logs, directory)
    return f"{cluster}.0 - {cluster}.{len(names) - 1}"


def _sbatch(farm: Path, words: Sequence[str]) -> str:
    script = Path(words[-1]).absolute()
    said = dict(re.findall(r"^#SBATCH --(\S+?)=(.*)$", script.read_text(), re.MULTILINE))
    last = int(said["array"].partition("-")[2])
    cluster = _new_cluster(farm)
    for index in range(last + 1):
        environment = {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_ARRAY_JOB_ID": str(cluster)}
        directory = Path(said["chdir"].strip('"'))
        _start(farm, f"{cluster}_{index}", said["job-name"], "slurm", str(script), farm, directory, environment)
    return str(cluster)


def _new_cluster(farm: Path) -> int:
    for number in range(1, 1000):
        with suppress(FileExistsError):
            (farm / "queue" / f"{number}.cluster").touch(exist_ok=False)
            return number
    raise OverflowError


_RUN = 'trap : TERM; bash "$1" "$2" > "$3/$2.out" 2> "$3/$2.err"; echo $? > "$4.part"; mv "$4.part" "$4"'


def _start(
    farm: Path,
    job: str,
    tag: str,
    name: str,
    script: str,
    logs: Path,
    directory: Path,
    environment: Mapping[str, str] | None = None,
) -> None:
    process = subprocess.Popen(
        ["bash", "-c", _RUN, "job", script, name, str(logs), str(farm / "queue" / f"{job}.status")],
        cwd=directory,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    (farm / "queue" / f"{job}.part").write_text(json.dumps({"tag": tag, "pid": process.pid}))
    (farm / "queue" / f"{job}.part").rename(farm / "queue" / f"{job}.job")


def _ended(farm: Path, job: str) -> int | None:
    path = farm / "queue" / f"{job}.status"
    return int(path.read_text()) if path.exists() else None


def _condor_look(farm: Path, *, over: bool) -> str:
    ads = []
    for job in _all_jobs(farm):
        status = _ended(farm, job)
        if (status is not None) == over:
            cluster, proc = map(int, job.split("."))
            ad = {"ClusterId": cluster, "ProcId": proc, "JobStatus": 4 if over else 2, "RemoteHost": "slot1@here"}
            ads.append({**ad, "ExitCode": status, "ExitBySignal": False} if over else ad)
    return json.dumps(ads) if ads or over else ""


def _squeue(farm: Path) -> str:
    running = [f"{job}|RUNNING|here|None" for job in jobs_of(farm)]
    return "\n".join(running)


def _scontrol(farm: Path, array: str) -> str:
    lines = []
    for job in _all_jobs(farm):
        cluster, _, index = job.partition("_")
        status = _ended(farm, job)
        if cluster == array and status is not None:
            state = "FAILED" if status else "COMPLETED"
            lines.append(
                f"JobId={job} ArrayJobId={cluster} ArrayTaskId={index} JobState={state} "
                f"Reason=None ExitCode={status}:0 NodeList=here"
            )
    return "\n".join(lines)


def _cancel(farm: Path, words: Sequence[str]) -> None:
    tags = re.findall(r"pocket-exec-[0-9a-f]+", " ".join(words))
    named = [word for word in words if word[0].isdigit()]
    wanted = {
        job: said
        for job, said in jobs_of(farm).items()
        if said["tag"] in tags or any(_names(word, job) for word in named)
    }
    for said in wanted.values():
        _signal(said["pid"], signal.SIGTERM)
    end = time.monotonic() + 5
    while any(_alive(said["pid"]) for said in wanted.values()) and time.monotonic() < end:
        time.sleep(0.02)
    for job, said in wanted.items():
        _signal(said["pid"], signal.SIGKILL)
        (farm / "queue" / f"{job}.job").unlink(missing_ok=True)


def _names(word: str, job: str) -> bool:
    """Whether ``word`` names the job: by its id, its array's, or as one of an array's elements (``12_[0-3,5]``)."""
    array, _, listed = word.partition("_[")
    if not listed:
        return word in (job, job.partition("_")[0])
    task = int(job.partition("_")[2] or -1)
    ranges = [part.partition("-") for part in listed.rstrip("]").split(",")]
    return job.partition("_")[0] == array and any(int(first) <= task <= int(last or first) for first, _, last in ranges)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _alive(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except OSError:
        return False
    return True


def main() -> None:
    """Be the command that the second argument names, on the farm in the directory that the first one names."""
    farm, name, words = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    with (farm / "called").open("a") as log:
        log.write(f"{shlex.join([name, *words])}\n")
    match name:
        case "condor_submit":
            print(_condor_submit(farm, words))
        case "sbatch":
            print(_sbatch(farm, words))
        case "condor_q" | "condor_history":
            print(_condor_look(farm, over=name == "condor_history"), end="")
        case "squeue":
            print(_squeue(farm))
        case "scontrol":
            print(_scontrol(farm, words[-1]))
        case "condor_rm" | "scancel":
            _cancel(farm, words)


if __name__ == "__main__":
    main()
