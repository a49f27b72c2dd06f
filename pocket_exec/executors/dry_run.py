"""Writes down what a run would submit to a batch system: command line, submit text, script and settings, whole."""

from __future__ import annotations

import shlex
import socket

from pocket_exec.batch.ports import contact_host, host_in_address
from pocket_exec.batch.system import BatchSystem
from pocket_exec.executors.worker_jobs import WorkerJobs
from pocket_exec.options.batch import BatchOptions


def dry_run_text(system: BatchSystem, jobs: WorkerJobs) -> str:
    """Return all of it; the tag of the run is that of none which will ever be."""
    wanted = jobs.options.adaptive_minimum if jobs.options.adaptive else jobs.options.scaleout
    submission = jobs.example(wanted)
    count = f"{len(submission.names)} of {wanted} jobs" if len(submission.names) < wanted else f"{wanted} jobs"
    files = [*jobs.files.travelling(), submission.script]
    if jobs.proxy is not None:
        files += [jobs.proxy.copy or jobs.proxy.source]
    parts = [
        (f"{count} submitted by", shlex.join(system.submit_words(submission))),
        ("what is submitted", system.describe(submission)),
        (f"{submission.script}", jobs.script),
        (f"{jobs.files.settings}", jobs.settings(scheduler_address(jobs.options)).to_json()),
        ("files that the workers read", "\n".join(map(str, sorted(files)))),
        ("logs", str(jobs.places.logs)),
    ]
    return "\n".join(f"### {heading}\n{text.rstrip()}\n" for heading, text in parts)


def scheduler_address(options: BatchOptions) -> str:
    """Return the address that workers would be told, if the wanted port is free."""
    host = contact_host(options.scheduler_host) or socket.gethostname()
    protocol = "tls" if options.security == "tls" else "tcp"
    return f"{protocol}://{host_in_address(host)}:{options.dask_scheduler_port}"
