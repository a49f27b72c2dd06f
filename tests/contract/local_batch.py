"""A fake batch system: each job is a process of this machine, and the queue is a directory.

It obeys the contract of ``BatchSystem`` with real commands, and fails in the ways it is told to. What a real batch
system does is tested on the farm.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_RUN = 'bash "$1" "$2" > "$3/$2.out" 2> "$3/$2.err"; echo $? > "$4.part"; mv "$4.part" "$4"'


def submit(queue: Path, tag: str, script: str, logs: str, delay_s: float, names: Sequence[str]) -> None:
    """Start one process per name after a delay, and print the ids."""
    (queue / "submitting").touch()
    time.sleep(delay_s)
    ids = []
    for name in names:
        job_id = f"{time.time_ns()}.{name}"
        if not (queue / "nothing-starts").exists():
            process = subprocess.Popen(
                ["bash", "-c", _RUN, "job", script, name, logs, str(queue / f"{job_id}.status")],
                cwd=queue,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        pid = 0 if (queue / "nothing-starts").exists() else process.pid
        (queue / f"{job_id}.part").write_text(json.dumps({"tag": tag, "name": name, "pid": pid}))
        (queue / f"{job_id}.part").rename(queue / f"{job_id}.job")
        ids.append(job_id)
    print(json.dumps(ids))


def cancel(queue: Path, tag: str, ids: Sequence[str]) -> None:
    """End the jobs with these ids, or all of a tag, and take them out of the queue."""
    end = time.monotonic() + 5
    wanted = {path: job for path, job in _jobs(queue).items() if job["tag"] == tag or path.stem in ids}
    for job in wanted.values():
        _signal(job["pid"], signal.SIGTERM)
    while any(_alive(job["pid"]) for job in wanted.values()) and time.monotonic() < end:
        time.sleep(0.02)
    for path, job in wanted.items():
        _signal(job["pid"], signal.SIGKILL)
        path.with_suffix(".removed").touch()
        path.unlink(missing_ok=True)


def _jobs(queue: Path) -> dict[Path, dict[str, Any]]:
    """Return the jobs in the queue, by their files; one may be cancelled at any moment."""
    jobs = {}
    for path in queue.glob("*.job"):
        with suppress(FileNotFoundError):
            jobs[path] = json.loads(path.read_text())
    return jobs


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if pid:
            os.killpg(pid, number)


def _alive(pid: int) -> bool:
    """Whether any process of the job is left that is not a zombie."""
    if not pid:
        return False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(group) == pid and state != "Z":
                return True
    return False


if __name__ == "__main__":
    verb, directory, tag, *words = sys.argv[1:]
    if (Path(directory) / f"{verb}-hangs").exists():
        time.sleep(600)
    if (Path(directory) / f"{verb}-fails").exists():
        sys.exit((Path(directory) / f"{verb}-fails").read_text())
    if verb == "submit":
        script, logs, delay, *names = words
        submit(Path(directory), tag, script, logs, float(delay), names)
    else:
        cancel(Path(directory), tag, words)
else:
    from pocket_exec.batch.system import BatchSystem, JobState, JobStatus, Submission, SubmitError
    from pocket_exec.command import CommandTimeoutError, run
    from pocket_exec.errors import FarmError

    @dataclass
    class LocalBatch(BatchSystem):
        """Jobs in ``queue``; a file ``<verb>-hangs`` or ``<verb>-fails`` there makes a command do so."""

        queue: Path
        delay_s: float = 0.0
        timeout_s: float = 30.0
        statuses: dict[str, JobStatus] = field(default_factory=dict)
        """What the queue says of workers by name, whatever they do."""
        unreadable: bool = False
        forgetful: bool = False
        submissions: list[tuple[str, ...]] = field(default_factory=list)
        cancellations: list[tuple[str, ...]] = field(default_factory=list)
        looks: int = 0

        name = "fake"

        def missing_commands(self) -> Sequence[str]:
            """Miss none."""
            return ()

        def describe(self, submission: Submission) -> str:
            """Return the script."""
            return submission.script.read_text()

        def submit(self, submission: Submission) -> tuple[str, ...]:
            """Start the processes, by one command."""
            self.submissions.append(submission.names)
            words = [submission.script, submission.log_directory, self.delay_s, *submission.names]
            try:
                done = run(self._command("submit", submission.tag, words), timeout_s=self.timeout_s)
            except CommandTimeoutError as error:
                raise SubmitError(str(error)) from error
            if done.returncode:
                raise SubmitError(f"fake_submit: {done.stderr.strip()}")
            return tuple(json.loads(done.stdout))

        def status(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
            """Look at the processes."""
            self.looks += 1
            if self.unreadable:
                raise FarmError("fake_q: the schedd is busy")
            if self.forgetful:
                return {}
            return {job_id: status for job_id in ids if (status := self._status(job_id)) is not None}

        def _status(self, job_id: str) -> JobStatus | None:
            said = self.statuses.get(job_id.partition(".")[2])
            if said is not None:
                return said
            if (self.queue / f"{job_id}.removed").exists():
                return JobStatus(JobState.REMOVED)
            path = self.queue / f"{job_id}.job"
            if not path.exists():
                return None
            ended = path.with_suffix(".status")
            pid = json.loads(path.read_text())["pid"]
            # Before its status is looked for: the job may end in between.
            alive = _alive(pid)
            if ended.exists():
                status = int(ended.read_text())
                return JobStatus(JobState.FAILED if status else JobState.DONE, exit_status=status)
            if not pid:
                return JobStatus(JobState.PENDING, reason="no machine is free")
            return JobStatus(JobState.RUNNING if alive else JobState.FAILED, starts=1)

        def cancel_commands(self, ids: Sequence[str]) -> list[list[str]]:
            """Return one command for all ids."""
            return [self._command("cancel", "none", ids)]

        def cancel_all_commands(self, tag: str) -> list[list[str]]:
            """Return one command for the tag."""
            return [self._command("cancel", tag, [])]

        def cancel(self, ids: Sequence[str]) -> None:
            """Run the command."""
            self.cancellations.append(tuple(ids))
            done = run(self.cancel_commands(ids)[0], timeout_s=self.timeout_s)
            if done.returncode:
                raise FarmError(f"fake_rm: {done.stderr.strip()}")

        def logs(self, job_id: str, submission: Submission, name: str) -> str:
            """Read both files."""
            paths = [submission.log_directory / f"{name}.{end}" for end in ("out", "err")]
            return "".join(path.read_text() for path in paths if path.exists())

        def _command(self, verb: str, tag: str, words: Sequence[Any]) -> list[str]:
            return [sys.executable, "-I", str(Path(__file__).absolute()), verb, str(self.queue), tag, *map(str, words)]

        def pids(self) -> dict[str, int]:
            """Return the process groups of all jobs in the queue, by the names of their workers."""
            return {job["name"]: job["pid"] for job in _jobs(self.queue).values()}

        def alive(self) -> list[str]:
            """Return the names of the jobs that have a process."""
            return [name for name, pid in self.pids().items() if _alive(pid)]

        def kill(self, name: str) -> None:
            """Kill a job with all its processes."""
            _signal(self.pids()[name], signal.SIGKILL)
