"""The one module that starts processes, and the git state that it is used for."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from pocket_exec.command import CommandError, CommandMissingError, CommandTimeoutError, run
from pocket_exec.runs.git import git_state


def test_words_reach_a_command_as_they_are(hostile: str, tmp_path: Path) -> None:
    (tmp_path / hostile).mkdir()
    code = "import os, sys; print(sys.argv[1], os.path.basename(os.getcwd()), sep='\\n')"
    done = run([sys.executable, "-c", code, hostile], timeout_s=30, cwd=tmp_path / hostile)
    assert (done.returncode, done.stdout) == (0, f"{hostile}\n{hostile}\n")


def test_a_status_other_than_0_and_stderr_are_handed_back() -> None:
    done = run(["sh", "-c", "echo no >&2; exit 7"], timeout_s=30)
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "no\n")


def test_a_command_has_no_input_to_wait_for() -> None:
    assert run(["cat"], timeout_s=30).stdout == ""


def test_output_that_is_not_utf8_is_read_all_the_same() -> None:
    assert run(["printf", r"a\377b"], timeout_s=30).stdout == "a\ufffdb"


def test_a_missing_command_is_named() -> None:
    with pytest.raises(CommandMissingError, match=r"'condor_submitt'.*is it installed and in PATH"):
        run(["condor_submitt", "-version"], timeout_s=30)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="gone: no such directory"):
        run(["true"], timeout_s=30, cwd=tmp_path / "gone")


def test_variables_of_the_environment_are_changed_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAKEN", "x")
    monkeypatch.setenv("KEPT", "y")
    done = run(["sh", "-c", 'echo "$KEPT $NEW ${TAKEN-none}"'], timeout_s=30, env={"NEW": "a b", "TAKEN": None})
    assert done.stdout == "y a b none\n"


def test_a_command_that_takes_too_long_says_what_it_had_said() -> None:
    with pytest.raises(CommandTimeoutError, match=r"no end after 3 s; it said: waiting"):
        run(["sh", "-c", "echo waiting >&2; sleep 60"], timeout_s=3)


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    script = 'sleep 60 & echo $! >"$0/child"; trap "" TERM; wait; sleep 60'
    started = time.monotonic()
    with pytest.raises(CommandTimeoutError, match="no end after 3 s"):
        run(["sh", "-c", script, str(tmp_path)], timeout_s=3)
    assert time.monotonic() - started < 20
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not _runs(child):
            return
        time.sleep(0.05)
    pytest.fail(f"process {child} still runs")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Where nobody is there to wait for it, it stays as a zombie.
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "\nState:\tZ" in status.read_text())


def test_the_git_state_of_an_analysis_is_its_commit_and_whether_that_is_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    analysis = tmp_path / "a b"
    analysis.mkdir()
    assert git_state(analysis) is None

    def git(*args: str) -> str:
        done = run(["git", "-c", "user.name=x", "-c", "user.email=x@y", *args], timeout_s=30, cwd=analysis)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    git("init", "-q")
    assert git_state(analysis) is None
    (analysis / "cfg.py").write_text("fileset = {}\n")
    git("add", ".")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD")
    (analysis / "output_DY.coffea").touch()
    clean = git_state(analysis)
    assert clean is not None
    assert (clean.commit, clean.dirty) == (head, False)
    (analysis / "my_cuts.py").touch()
    dirty = git_state(analysis)
    assert dirty is not None
    assert dirty.dirty
