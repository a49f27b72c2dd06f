"""The farm for its tests: started where it may be, a user of this session's own, nothing of it left after any test."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.farm_build import farm as farms
from tests.farm_build import lifecycle
from tests.farm_build.farm import Farm
from tests.farm_build.holder import USERS
from tests.farm_build.layout import FarmFailedError, UnsupportedError

CI = os.environ.get("CI") == "true"
BUILD = CI or os.environ.get("POCKET_EXEC_FARM") == "build"

_STARTED = pytest.StashKey[bool]()
_WHY_NOT = pytest.StashKey[FarmFailedError]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Have the farm before its first test's time begins."""
    # This is called for all tests, in each of the processes that share them.
    if BUILD and item.path.is_relative_to(Path(__file__).parent):
        _have_farm(item.config.stash)
    return (yield)


def _have_farm(stash: pytest.Stash) -> None:
    if _STARTED in stash or _WHY_NOT in stash:
        return
    try:
        if farms.running() is None:
            stash[_STARTED] = True
            lifecycle.up()
    except FarmFailedError as error:
        stash[_WHY_NOT] = error


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the farm again if it was started here."""
    if _STARTED in session.config.stash:
        lifecycle.down()


@pytest.fixture(scope="session")
def farm(request: pytest.FixtureRequest) -> Iterator[Farm]:
    """The running farm, entered as a user that no other session has."""
    failed = request.config.stash.get(_WHY_NOT, None)
    if isinstance(failed, UnsupportedError) and not CI:
        pytest.skip(f"{failed}")
    if failed:
        pytest.fail(f"{failed}")
    running = farms.running()
    if running is None:
        pytest.skip("needs the batch farm: `make farm` builds and starts it")
    locks = Path(running.holding.state) / "users"
    locks.mkdir(exist_ok=True)
    for user in list(USERS)[1:]:
        with (locks / user).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            mine = replace(running, user=user)
            mine.clean()
            yield mine
            return
    pytest.fail(f"all users of the farm are taken by other sessions: see the locks in {locks}")


@pytest.fixture(autouse=True)
def _nothing_left(farm: Farm) -> Iterator[None]:
    """Fail a test that leaves a job in a queue or a process in the farm, and remove it for the next."""
    yield
    end = time.monotonic() + 60
    while (left := _left(farm)) and time.monotonic() < end:
        time.sleep(0.3)
    if left:
        farm.clean()
        pytest.fail("left in the farm:\n" + "\n".join(left))


def _left(farm: Farm) -> list[str]:
    jobs = [f"HTCondor {job}" for job in farm.condor_jobs()] + [f"Slurm {job}" for job in farm.slurm_jobs()]
    return jobs or [f"process {pid}: {_words(pid)}" for pid in farm.processes()]


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return "ended meanwhile"


@pytest.fixture
def shared_dir(farm: Farm, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory of the user's that clients, jobs and their images see; empty, and removed afterwards."""
    yield from _directory(farm, farm.home / "tests", request)


@pytest.fixture
def unshared_dir(farm: Farm, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory of the user's that only clients see; empty, and removed afterwards."""
    yield from _directory(farm, farm.unshared / farm.user, request)


def _directory(farm: Farm, parent: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name)[:80]
    directory = parent / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for path in (parent, directory):
        os.chown(path, farm.uid, farm.uid)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
