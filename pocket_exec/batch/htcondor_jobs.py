"""Reads HTCondor's job ads: from attributes to the state that all batch systems share, with reasons and hints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pocket_exec.batch.hints import MORE_MEMORY
from pocket_exec.batch.htcondor_holds import CONTAINER_TEST, SPOOLING, advice, of_policy
from pocket_exec.batch.htcondor_pool import Largest
from pocket_exec.batch.system import JobState, JobStatus
from pocket_exec.errors import FarmError

_VACATES_UNTIL_HOPELESS = 2
"""The first may be the machine's fault."""


class JobAd(BaseModel):
    """What is asked about a job; an attribute that it has not is None."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    cluster: int = Field(alias="ClusterId")
    proc: int = Field(alias="ProcId")
    status: int = Field(alias="JobStatus")
    hold_code: int | None = Field(None, alias="HoldReasonCode")
    hold_subcode: int | None = Field(None, alias="HoldReasonSubCode")
    hold_reason: str | None = Field(None, alias="HoldReason")
    job_starts: int | None = Field(None, alias="NumJobStarts")
    shadow_starts: int | None = Field(None, alias="NumShadowStarts")
    host: str | None = Field(None, alias="RemoteHost")
    last_host: str | None = Field(None, alias="LastRemoteHost")
    exit_code: int | None = Field(None, alias="ExitCode")
    by_signal: bool | None = Field(None, alias="ExitBySignal")
    exit_signal: int | None = Field(None, alias="ExitSignal")
    remove_reason: str | None = Field(None, alias="RemoveReason")
    vacate_code: int | None = Field(None, alias="VacateReasonCode")
    vacate_reason: str | None = Field(None, alias="VacateReason")
    reject_reason: str | None = Field(None, alias="LastRejMatchReason")
    vacates: int | None = Field(None, alias="NumVacates")
    resident_kib: Any = Field(None, alias="ResidentSetSize")
    memory_asked: Any = Field(None, alias="RequestMemory")

    cores_asked: Any = Field(None, alias="RequestCpus")

    @property
    def unmatched(self) -> bool:
        """Whether it waits, has never been started, and was rejected when a machine was looked for."""
        return self.status == 1 and bool(self.reject_reason) and not self.vacate_reason

    @property
    def job_id(self) -> str:
        """The id as HTCondor writes it."""
        return f"{self.cluster}.{self.proc}"


ATTRIBUTES = ",".join(str(field.alias) for field in JobAd.model_fields.values())
"""What to ask for, as ``-attributes`` takes it."""

_ADS = TypeAdapter(list[JobAd])


def job_ads(text: str, command: str) -> list[JobAd]:
    """Read the answer of condor_q or condor_history; nothing at all is an empty list, as condor_q means it.

    Raises:
        FarmError: it is no list of job ads.
    """
    if not text.strip():
        return []
    # A site's wrapper may print a banner above it.
    start = text.find("[")
    try:
        return _ADS.validate_json(text[max(start, 0) :])
    except ValidationError as error:
        said = text.strip().splitlines()[0][:200]
        raise FarmError(f"{command} answered what is no list of jobs: {said!r}") from error


def job_status(ad: JobAd, largest: Largest | None = None) -> JobStatus:
    """Return what an ad says of its job; ``largest`` is what the pool's machines have, for one that none has taken."""
    if ad.unmatched and largest is not None:
        return _unmatched(ad, largest)
    return _BY_STATUS.get(ad.status, _unheard_of)(ad)


def _listed(ad: JobAd, state: JobState, reason: str = "", permanent: bool = False) -> JobStatus:
    # NumJobStarts is still 0 while the first run is running.
    starts = max(ad.job_starts or 0, ad.shadow_starts or 0)
    host = (ad.host or ad.last_host or "").rpartition("@")[2]
    return JobStatus(state, reason, permanent, host, starts=starts)


def _running(ad: JobAd) -> JobStatus:
    return _listed(ad, JobState.RUNNING, *_flips(ad))


def _suspended(ad: JobAd) -> JobStatus:
    return _listed(ad, JobState.HELD, "suspended by the machine that it runs on")


def _unheard_of(ad: JobAd) -> JobStatus:
    return _listed(ad, JobState.UNKNOWN, f"JobStatus {ad.status}")


def _pending(ad: JobAd) -> JobStatus:
    reason, permanent = _flips(ad)
    if not reason and ad.reject_reason:
        reason = (
            f"no machine has taken it yet: {ad.reject_reason}; check mem-per-worker, cores-per-worker, requirements"
        )
    return _listed(ad, JobState.PENDING, reason, permanent)


def _unmatched(ad: JobAd, largest: Largest) -> JobStatus:
    """Say what is asked for beside what there is: a job that is larger than every machine never starts."""
    # An expression comes as text.
    memory = ad.memory_asked if isinstance(ad.memory_asked, int | float) else 0
    cores = ad.cores_asked if isinstance(ad.cores_asked, int | float) else 0
    asked, there = _size(memory, cores), _size(largest.memory_mib, largest.cores)
    if memory > largest.memory_mib or cores > largest.cores:
        option = "mem-per-worker" if memory > largest.memory_mib else "cores-per-worker"
        reason = f"it asks for {asked}, and no machine of the pool has more than {there}; lower {option}"
        return _listed(ad, JobState.PENDING, reason, permanent=True)
    reason = f"no machine has taken it yet: {ad.reject_reason}; it asks for {asked}, and machines have up to {there}"
    return _listed(ad, JobState.PENDING, f"{reason}; check mem-per-worker, cores-per-worker, requirements")


def _size(memory_mib: float, cores: float) -> str:
    return f"{memory_mib:.0f} MiB and {cores:.0f} core{'' if cores == 1 else 's'}"


def _flips(ad: JobAd) -> tuple[str, bool]:
    """Say why a job was put back to idle: one whose image is not there is started again and again, and never held."""
    if not ad.vacate_reason:
        return "", False
    # Pools before version 24 do not count vacates; the last start may be going well.
    times = ad.vacates or max(1, (ad.job_starts or 0) - 1)
    found = advice(ad.vacate_code or 0, 0, ad.vacate_reason)
    hopeless = times >= _VACATES_UNTIL_HOPELESS and (ad.vacate_code == CONTAINER_TEST or found.permanent)
    how = f"was started and put back {times} times" if times > 1 else "was started and put back"
    return _sentence(f"{how}: {ad.vacate_reason}", found.hint), hopeless


def _held(ad: JobAd) -> JobStatus:
    code, subcode, reason = ad.hold_code or 0, ad.hold_subcode or 0, ad.hold_reason or "no reason given"
    if code == SPOOLING:
        return _listed(ad, JobState.PENDING, "its files are being copied to the schedd")
    found = advice(code, subcode, reason)
    number = f"{code}.{subcode}" if subcode else f"{code}"
    used = "".join(_memory(ad)) if found.hint == MORE_MEMORY else ""
    said = _sentence(f"held: {reason} (code {number}{used})", found.hint)
    return _listed(ad, JobState.HELD, said, found.permanent)


def _memory(ad: JobAd) -> Iterator[str]:
    # An expression comes as text.
    if isinstance(ad.resident_kib, int | float) and isinstance(ad.memory_asked, int | float):
        yield f"; it used {ad.resident_kib / 1024:.0f} MiB and had asked for {ad.memory_asked:.0f}"


def _removed(ad: JobAd) -> JobStatus:
    reason = ad.remove_reason or ""
    if "via condor_rm" in reason or not reason:
        return _listed(ad, JobState.REMOVED, f"removed: {reason}" if reason else "removed")
    found = of_policy(reason)
    return _listed(ad, JobState.REMOVED, _sentence(f"removed: {reason}", found.hint), found.permanent)


def _ended(ad: JobAd) -> JobStatus:
    status = -(ad.exit_signal or 0) if ad.by_signal else ad.exit_code
    state = JobState.DONE if status == 0 else JobState.FAILED
    listed = _listed(ad, state, _how(status))
    return JobStatus(listed.state, listed.reason, host=listed.host, exit_status=status, starts=listed.starts)


def _how(status: int | None) -> str:
    if status is None:
        return "ended, in an unknown way"
    return "" if status == 0 else f"ended by signal {-status}" if status < 0 else f"ended with exit status {status}"


def _sentence(what: str, hint: str) -> str:
    return f"{what}; {hint}" if hint else what


# The numbers of JobStatus; 6 is a job whose output is on its way back.
_BY_STATUS = {1: _pending, 2: _running, 3: _removed, 4: _ended, 5: _held, 6: _running, 7: _suspended}
