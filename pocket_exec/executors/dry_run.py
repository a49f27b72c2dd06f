"""Writes down what a run would submit to a batch system: command line, submit text, script and settings, whole."""

from __future__ import annotations

import logging
import shlex
import socket

from pocket_exec.batch.ports import SchedulerPlace, contact_host, host_in_address
from pocket_exec.batch.system import BatchSystem
from pocket_exec.executors.worker_jobs import WorkerJobs

log = logging.getLogger(__name__)


def dry_run_text(system: BatchSystem, jobs: WorkerJobs, place: SchedulerPlace) -> str:
    """Return all of it; the tag of the run is that of none which will ever be."""
    wanted = jobs.options.adaptive_minimum if jobs.options.adaptive else jobs.options.scaleout
    submission = jobs.example(wanted)
    count = f"{len(submission.names)} of {wanted} jobs" if len(submission.names) < wanted else f"{wanted} jobs"
    scheduler = scheduler_address(place, encrypted=jobs.options.security == "tls")
    parts = [
        (f"{count} submitted by", shlex.join(system.submit_words(submission))),
        ("what is submitted", system.describe(submission)),
        (f"{submission.script}", jobs.script),
        (f"{jobs.files.settings}", jobs.settings(scheduler).to_json()),
        ("files that the workers read", "\n".join(map(str, sorted(jobs.read_by_workers)))),
        ("logs", str(jobs.places.logs)),
    ]
    return "\n".join(f"### {heading}\n{text.rstrip()}\n" for heading, text in parts)


def scheduler_address(place: SchedulerPlace, *, encrypted: bool) -> str:
    """Return the address that workers would be told, if the first port that the scheduler tries is free."""
    protocol = "tls" if encrypted else "tcp"
    host = contact_host(place.host) or _own_host(place.interface)
    return f"{protocol}://{host_in_address(host)}:{place.candidates()[0]}"


def _own_host(interface: str | None) -> str:
    """Return the address by which Dask itself would name a scheduler that listens here."""
    from distributed.utils import get_ip, get_ip_interface

    try:
        return str(get_ip() if interface is None else get_ip_interface(interface))
    except ValueError as error:
        log.warning("scheduler-interface: %s", error)
        return socket.gethostname()
