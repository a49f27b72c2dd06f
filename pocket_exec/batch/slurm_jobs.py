"""Reads what squeue, scontrol and sacct say of jobs: the state that all batch systems share, with reasons and hints.

Source: the manual pages of squeue ("JOB STATE CODES", "JOB REASON CODES") and sacct, and trials with version 26.05.
"""

from __future__ import annotations

import re
from dataclasses import replace

from pocket_exec.batch.hints import MORE_MEMORY, MORE_TIME
from pocket_exec.batch.system import JobState, JobStatus

QUEUE_FORMAT = "%i|%T|%N|%r"
ACCOUNTING_FORMAT = "JobID,State,ExitCode,NodeList,Reason"

_STATES = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "POWER_UP_NODE"), JobState.PENDING),
    **dict.fromkeys(("RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT"), JobState.RUNNING),
    **dict.fromkeys(("SUSPENDED", "STOPPED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"), JobState.HELD),
    "COMPLETED": JobState.DONE,
    **dict.fromkeys(("CANCELLED", "REVOKED"), JobState.REMOVED),
    **dict.fromkeys(("FAILED", "BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL", "NODE_FAIL"), JobState.FAILED),
    **dict.fromkeys(("OUT_OF_MEMORY", "TIMEOUT", "DEADLINE", "PREEMPTED"), JobState.FAILED),
}
_OF_STATE = {
    "OUT_OF_MEMORY": (f"out of memory; {MORE_MEMORY}", True),
    "TIMEOUT": (f"its walltime is used up; {MORE_TIME}", False),
    "DEADLINE": ("its deadline has passed", True),
    "NODE_FAIL": ("its machine failed", False),
    "BOOT_FAIL": ("its machine did not start", False),
    "PREEMPTED": ("it had to make room for other jobs", False),
    "SUSPENDED": ("suspended", False),
    "STOPPED": ("stopped", False),
    "REQUEUE_HOLD": ("put back into the queue, and held", False),
    "SPECIAL_EXIT": ("put back into the queue, and held", False),
    "RESV_DEL_HOLD": ("held: its reservation was deleted", True),
}
"""State: what it means, and whether the same job would meet it again."""

_HELD = re.compile(r"JobHeld|requeued.held|requeued_in_held|requeued in held", re.IGNORECASE)
_OF_REASON = (
    (re.compile(r"JobHeldUser"), "held by you: scontrol release", False),
    (re.compile(r"JobHeldAdmin"), "held by the site", False),
    (re.compile(r"launch.failed.requeued.held", re.IGNORECASE), "it could not be started on its machine", False),
    (re.compile(r"PartitionTimeLimit"), "walltime is longer than the partition allows: it never starts", True),
    (
        re.compile(r"PartitionConfig|PartitionNodeLimit|BadConstraints"),
        "no machine there has what is asked for: check mem-per-worker, cores-per-worker, disk-per-worker",
        True,
    ),
    (re.compile(r"InvalidAccount|AccountNotAllowed|AccountingPolicy"), "check accounting-group", True),
    (re.compile(r"InvalidQOS|QOSNotAllowed"), "check slurm-settings.qos", True),
    (
        re.compile(r"(QOS|Assoc)(Max|Grp)\w*PerJob"),
        "above a limit for one job",
        True,
    ),
    (
        re.compile(r"(QOS|Assoc)\w*(Max|Grp|Limit)"),
        "your limit at this site: it waits until other jobs have ended",
        False,
    ),
    (re.compile(r"ReqNodeNotAvail"), "its machines are down or reserved", False),
    (re.compile(r"Partition(Down|Inactive)"), "the partition takes no jobs at present", False),
)
_SAYS_NOTHING = {"", "None", "(null)", "NonZeroExitCode", "TimeLimit", "Priority", "Resources"}


def queue_rows(text: str) -> dict[str, JobStatus]:
    """Read the lines of squeue in ``QUEUE_FORMAT``, by id; what else a site prints is passed over.

    >>> queue_rows("12_0|PENDING||PartitionTimeLimit")["12_0"].permanent
    True
    """
    rows = (line.split("|", 3) for line in text.splitlines())
    return {row[0]: _status(row[1], row[3], row[2]) for row in rows if len(row) == 4 and row[1] in _STATES}


def controller_rows(text: str) -> dict[str, JobStatus]:
    """Read the lines of ``scontrol -o show job``, by id: they hold exit codes, some minutes long."""
    found = {}
    for line in text.splitlines():
        array, task, state = (_field(line, key) for key in ("ArrayJobId", "ArrayTaskId", "JobState"))
        if state in _STATES and array and task.isdecimal():
            status = _status(state, _field(line, "Reason").replace("_", " "), _field(line, "NodeList"))
            starts = int(restarts) + 1 if (restarts := _field(line, "Restarts")).isdecimal() else 0
            found[f"{array}_{task}"] = replace(_with_exit(status, _field(line, "ExitCode")), starts=starts)
    return found


def accounting_rows(text: str) -> dict[str, JobStatus]:
    """Read the lines of ``sacct -P`` in ``ACCOUNTING_FORMAT``, by id."""
    found = {}
    for line in text.splitlines():
        match line.split("|", 4):
            case [job_id, state, code, host, reason] if (word := state.partition(" ")[0]) in _STATES:
                found[job_id] = _with_exit(_status(word, reason, host), code)
            case _:
                continue
    return found


def _field(line: str, key: str) -> str:
    match = re.search(rf"(?:^|\s){key}=(\S*)", line)
    return match[1] if match and match[1] != "(null)" else ""


def _status(word: str, reason: str, host: str) -> JobStatus:
    state = _STATES[word]
    if state is JobState.PENDING and _HELD.search(reason):
        state = JobState.HELD
    said, permanent = _OF_STATE.get(word, ("", False))
    if state in (JobState.PENDING, JobState.HELD, JobState.FAILED) and not said:
        said, permanent = _explained(reason)
    if state is JobState.REMOVED:
        said = "cancelled" if word == "CANCELLED" else word.lower()
    return JobStatus(state, said, permanent, "" if host == "None assigned" else host)


def _explained(reason: str) -> tuple[str, bool]:
    if reason in _SAYS_NOTHING:
        return "", False
    for pattern, hint, permanent in _OF_REASON:
        if pattern.search(reason):
            return f"{reason}: {hint}", permanent
    return reason, False


def _with_exit(status: JobStatus, code: str) -> JobStatus:
    """Add an exit code as Slurm writes it, ``71:0``: exit status and signal."""
    match = re.fullmatch(r"(\d+):(\d+)", code)
    if match is None or not status.state.over:
        return status
    number = -int(match[2]) if int(match[2]) else int(match[1])
    reason = status.reason
    if status.state is JobState.FAILED and number and not status.permanent:
        how = f"ended by signal {-number}" if number < 0 else f"ended with exit status {number}"
        reason = reason if reason and not reason.startswith("RaisedSignal") else how
    return replace(status, reason=reason, exit_status=number)
