"""What HTCondor's hold codes mean for a worker: a hint, and whether the same job would be held again.

Source: HTCondor's manual, "HoldReasonCode" among the job's ClassAd attributes, and its source (version 25).
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from pocket_exec.batch.hints import MORE_DISK, MORE_MEMORY, MORE_TIME

SPOOLING = 16
"""Held while its files are copied to the schedd: a job that waits."""
CONTAINER_TEST = 45

_MEMORY = re.compile(r"memory|ResidentSetSize|\bRSS\b|cgroup", re.IGNORECASE)
_TIME = re.compile(r"wall ?(clock)?-?_?time|run ?_?time|EnteredCurrentStatus|duration|JobCurrentStart", re.IGNORECASE)
_DISK = re.compile(r"disk|no space|quota", re.IGNORECASE)

_NO_MORE_TIME = f"the job has used up its walltime; {MORE_TIME}"


@dataclass(frozen=True)
class Advice:
    """What a hold calls for."""

    hint: str
    permanent: bool


_FILES = "check that log-directory is on a file system that the workers see and may write to, and its quota"
_SITE = Advice("a fault of the machine or the site; other machines may do", permanent=False)

_BY_CODE = {
    1: Advice("somebody has held it with condor_hold", permanent=False),
    4: Advice("the credential is not valid: voms-proxy-init or kinit", permanent=True),
    5: Advice("a policy expression has no value: check htcondor-settings", permanent=True),
    7: Advice(_FILES, permanent=True),
    8: Advice(_FILES, permanent=True),
    9: Advice(_FILES, permanent=True),
    10: Advice(_FILES, permanent=True),
    14: Advice(
        "the workers cannot enter the working directory; shared-filesystem: false transfers files", permanent=True
    ),
    15: Advice("it was submitted on hold", permanent=True),
    19: _SITE,
    22: Advice(
        f"its event log cannot be written; {_FILES}, or leave it out with htcondor-settings: {{log: null}}",
        permanent=True,
    ),
    27: Advice("a policy expression has no value: check htcondor-settings", permanent=True),
    32: Advice("what it transfers is larger than the pool allows", permanent=True),
    33: Advice("what it transfers is larger than the pool allows", permanent=True),
    35: Advice("check the image's name, and whether its registry asks for a login", permanent=True),
    43: Advice("a script before or after the job failed", permanent=True),
    44: Advice("a script before or after the job failed", permanent=True),
    CONTAINER_TEST: Advice("the machine cannot start the image: check worker-image", permanent=False),
    46: Advice(_NO_MORE_TIME, permanent=False),
    47: Advice(_NO_MORE_TIME, permanent=False),
    48: _SITE,
    49: Advice("the pool does not know the primary group", permanent=True),
    102: Advice(MORE_MEMORY, permanent=True),
    104: Advice(MORE_DISK, permanent=True),
}
_CANNOT_START = {
    errno.ENOENT: "the script or its interpreter is not there on the machine; shared-filesystem: false transfers it",
    errno.EACCES: "the script may not be read or run on the machine",
    errno.ENOEXEC: "the machine cannot run the script",
}
_CANNOT_TRANSFER = {
    errno.ENOENT: "a file to transfer is not there",
    errno.EACCES: "a file to transfer may not be read or written",
    errno.ENOSPC: "no space is left where files are transferred to",
    errno.EDQUOT: "the quota is used up where files are transferred to",
}


def advice(code: int, subcode: int, reason: str) -> Advice:
    """Return what the hold ``code`` calls for; ``subcode`` is an errno where a file or program is concerned."""
    if code in (3, 21, 26, 34):
        return of_policy(reason) if code != 34 else _of_resource(reason)
    if code == 6:
        hint = _CANNOT_START.get(subcode)
        return Advice(hint, permanent=True) if hint else _SITE
    if code in (12, 13):
        hint = _CANNOT_TRANSFER.get(subcode)
        return Advice(hint, permanent=True) if hint else Advice("files could not be transferred", permanent=False)
    return _BY_CODE.get(code, Advice("", permanent=False))


def of_policy(reason: str) -> Advice:
    """Return what a hold or removal by an expression calls for: the site's, or the job's own."""
    if _MEMORY.search(reason):
        return Advice(MORE_MEMORY, permanent=True)
    if _TIME.search(reason):
        return Advice(_NO_MORE_TIME, permanent=False)
    if _DISK.search(reason):
        return Advice(MORE_DISK, permanent=True)
    return Advice("a rule of the site or of htcondor-settings", permanent=True)


def _of_resource(reason: str) -> Advice:
    return Advice(MORE_DISK if _DISK.search(reason) and not _MEMORY.search(reason) else MORE_MEMORY, permanent=True)
