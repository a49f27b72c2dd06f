"""Fixtures that all tests share, and the check that a session leaves neither process nor file behind."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parent.parent
CI = os.environ.get("CI") == "true"
NANOAOD = "POCKET_EXEC_NANOAOD"
SESSION = "POCKET_EXEC_TEST_SESSION"
FARM = "tests/farm/"
# An empty directory that Dask keeps for the next cluster.
_MAY_STAY = {"dask-scratch-space"}

hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if CI else "here")


@pytest.fixture(params=["plain", "a b", "a'; echo x", 'q"=0"', "$(id)", "%h"])
def hostile(request: pytest.FixtureRequest) -> str:
    """A user's word as it may come: one fixture for every script, path, name and option."""
    word: str = request.param
    return word


@pytest.fixture(scope="session")
def nanoaod_dir() -> Path:
    """The directory of real NanoAOD files."""
    said = os.environ.get(NANOAOD, "")
    directory = Path(said)
    if said and list(directory.glob("*.root")):
        return directory
    missing = f"needs real NanoAOD files: set {NANOAOD} to a directory of .root files"
    missing += f" (there is none in {said!r})" if said else ""
    if CI and said:
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def zmumu_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Files of each dataset that the example's generator makes, in the layout of NanoAOD: some 4000 events in all."""
    with _importable(ROOT / "examples" / "zmumu"):
        generate = importlib.import_module("generate").generate
    files: dict[str, list[Path]] = generate(
        tmp_path_factory.mktemp("zmumu"), events=3000, files=6, luminosity_pb=1.0, seed=1
    )
    return files


@contextmanager
def _importable(directory: Path) -> Iterator[None]:
    """Let the modules in ``directory`` be imported, and forget them: their names are short and others may have them."""
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        sys.path.remove(str(directory))
        for name in [path.stem for path in directory.glob("*.py")]:
            sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache of file metadata out of the tests, and the tests out of it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def pytest_configure() -> None:
    """Mark what this session starts, and give it a temporary directory of its own to look into at the end."""
    # A process that shares the tests has the mark of all of them, too.
    os.environ[SESSION] = f"{os.environ.get(SESSION, '')}/{uuid.uuid4().hex}"
    # A shell's background jobs begin with these ignored, and so would every program that a test starts and signals.
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    # Beside, not within, that of the session that it shares the tests of: Slurm makes a directory, but not its parents.
    before = os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    tempfile.tempdir = tempfile.mkdtemp(prefix=_temporary(), dir=before)
    os.environ["TMPDIR"] = tempfile.tempdir


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the farm's tests: they take long, and wait for the most part."""
    items.sort(key=lambda item: not item.nodeid.startswith(FARM))


class _FileByFile(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """The tests of a file in one of the processes that share the tests, and those of the farm too: it is one."""

    def _split_scope(self, nodeid: str) -> str:
        return FARM if nodeid.startswith(FARM) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Share the tests out by file, whatever ``--dist`` says."""
    return _FileByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, object, object]:
    """Let a report be sent from one process to another: some tests log what UTF-8 cannot hold."""
    return _in_utf8((yield))


def _in_utf8(part: object) -> object:
    if isinstance(part, str):
        return part.encode(errors="backslashreplace").decode()
    if isinstance(part, (list, tuple)):
        return type(part)(map(_in_utf8, part))
    return {_in_utf8(key): _in_utf8(value) for key, value in part.items()} if isinstance(part, dict) else part


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that leaves a process or a temporary file; the process is ended, or who reads the output waits."""
    left = [*_wait_until_none(_processes_left, seconds=10), *_files_left()]
    for process, _ in _descendants():
        with suppress(psutil.Error):
            process.kill()
    if hasattr(session.config, "workeroutput"):  # one of several processes: the one that gathers them says it
        session.config.workeroutput["left"] = left
        return
    left = session.config.stash[_LEFT] = [*session.config.stash.get(_LEFT, []), *left]
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_testnodedown(node: Any) -> None:
    """Gather what one of the processes that share the tests has left."""
    left = getattr(node, "workeroutput", {}).get("left", [])
    node.config.stash.setdefault(_LEFT, []).extend(left)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was left."""
    left = config.stash.get(_LEFT, [])
    if left:
        terminalreporter.section("left behind by the tests", red=True)
        for line in left:
            terminalreporter.line(line)


def pytest_unconfigure() -> None:
    """Remove the temporary directory."""
    assert tempfile.tempdir is not None
    for directory in _temporary_directories():
        shutil.rmtree(directory, ignore_errors=True)


_LEFT = pytest.StashKey[list[str]]()


def _wait_until_none(look: Callable[[], list[str]], seconds: float) -> list[str]:
    """Return what ``look`` finds, once it is nothing or the time is over."""
    end = time.monotonic() + seconds
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def _processes_left() -> list[str]:
    """Describe the processes of this session, adopted ones too: they carry its mark in their environment."""
    return [f"process {process.pid}: {words}" for process, words in _descendants()]


def _descendants() -> Iterator[tuple[psutil.Process, str]]:
    """Yield those that are left, each with its words: it may end between two looks at it."""
    for process in psutil.process_iter():
        try:
            ours = process.pid != os.getpid() and process.environ().get(SESSION, "").startswith(os.environ[SESSION])
            # They end by themselves, as soon as the last process that uses them has ended: this one.
            if not ours or "resource_tracker" in (words := " ".join(process.cmdline())):
                continue
        except psutil.Error:
            continue
        yield process, words


def _files_left() -> list[str]:
    left = [path for directory in _temporary_directories() for path in sorted(directory.iterdir())]
    return [f"temporary file {path}" for path in left if path.name not in _MAY_STAY]


def _temporary() -> str:
    """Return what the names of this session's temporary directories begin with, those of its processes too."""
    return "pocket-exec-tests-" + "".join(f"{mark[:8]}-" for mark in os.environ[SESSION].split("/") if mark)


def _temporary_directories() -> list[Path]:
    assert tempfile.tempdir is not None
    return sorted(Path(tempfile.tempdir).parent.glob(f"{_temporary()}*"))
