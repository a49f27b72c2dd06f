"""The output directory under what needs a process or a disk of its own: kills, races, full and read-only disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pocket_exec import errors
from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.directory import OutputDirectory

HOLD = """
import sys
from pathlib import Path
from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.directory import OutputDirectory
try:
    with OutputDirectory.open(Path(sys.argv[1])) as out:
        print("held", flush=True)
        sys.stdin.readline()
except OutputDirectoryError as error:
    print("refused", error, flush=True)
    sys.exit(error.status)
"""

ON_A_FULL_DISK = """
import os
from pathlib import Path
from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.directory import OutputDirectory
from pocket_exec.runs.results import save_result
out = Path("out")
with OutputDirectory.open(out) as directory:
    save_result(directory, "DY", "small", partial=False)
    before = (out / "output_DY.coffea").read_bytes()
    try:
        save_result(directory, "DY", os.urandom(8_000_000), partial=False)
    except OutputDirectoryError as error:
        print(error)
    assert (out / "output_DY.coffea").read_bytes() == before
    (out / "filler").write_bytes(bytes(3_500_000))
assert sorted(os.listdir(out)) == ["filler", "output_DY.coffea"], os.listdir(out)
try:
    OutputDirectory.check(out)
except OutputDirectoryError as error:
    print(error)
"""

ON_A_READ_ONLY_DISK = """
from pathlib import Path
from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.directory import OutputDirectory
for use in (OutputDirectory.check, lambda path: OutputDirectory.open(path).__enter__()):
    for path in (Path("."), Path("new/out")):
        try:
            use(path)
        except OutputDirectoryError as error:
            print(error)
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that holds the directory, or is refused, until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


ROOT_OF_A_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
"""Begins a command that may mount what it wants, for itself."""


def can_mount(directory: Path) -> None:
    """Skip the test where a file system of its own cannot be had."""
    try:
        can = subprocess.run(
            [*ROOT_OF_A_NAMESPACE, 'mount -t tmpfs none "$0"', str(directory)], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("needs unshare (Linux)")
    if can.returncode:
        pytest.skip(f"needs user namespaces that may mount: {can.stderr.decode().strip()}")


def run_on_tmpfs(directory: Path, options: str, code: str) -> str:
    """Run Python code in a namespace whose working directory is a file system of its own."""
    can_mount(directory)
    script = 'mount -t tmpfs -o "$1" none "$2" && cd "$2" && exec "$3" -c "$4"'
    words = [*ROOT_OF_A_NAMESPACE, script, "sh", options, str(directory), sys.executable, code]
    # The working directory is another one there: a package that is not installed would not be found.
    env = os.environ | {"PYTHONPATH": str(Path(errors.__file__).parent.parent)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_second_process_is_refused_and_told_which_run_is_there(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        assert first_line(first) == "held\n"
        with pytest.raises(OutputDirectoryError, match=rf"on this host.*process {first.pid} .*kill {first.pid}"):
            OutputDirectory.open(tmp_path).__enter__()
        assert [p.name for p in tmp_path.iterdir()] == ["run.lock"]
        first.communicate("end\n", timeout=30)
        assert first.returncode == 0
    with OutputDirectory.open(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_killed_does_not_keep_the_next_one_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with holder(tmp_path) as killed:
        assert first_line(killed) == "held\n"
        killed.send_signal(signal.SIGKILL)
        # Not waited for: its parent may never do so, as in a container without an init.
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        with OutputDirectory.open(tmp_path):
            assert f"process {killed.pid}" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_start_at_once_after_a_kill_one_runs(tmp_path: Path) -> None:
    with holder(tmp_path) as killed:
        assert first_line(killed) == "held\n"
    starts = 6
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(starts)
    ]
    try:
        words = [first_line(process).split()[0] for process in processes]
        for process in processes:
            process.communicate("end\n", timeout=30)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sorted(words) == ["held", *["refused"] * (starts - 1)]
    assert sorted(process.returncode for process in processes) == [0, *[3] * (starts - 1)]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_keeps_the_old_result_and_is_found_before_the_next_run(tmp_path: Path) -> None:
    while_writing, before = run_on_tmpfs(tmp_path, "size=4m", ON_A_FULL_DISK).splitlines()
    assert while_writing.startswith(f"cannot write {tmp_path}/out/output_DY.coffea: no space left on the device (")
    assert before.startswith("cannot use the output directory out: ")
    assert "1.0 MB needed; make room" in before


def test_a_read_only_disk_is_found_before_the_run_even_by_root(tmp_path: Path) -> None:
    lines = run_on_tmpfs(tmp_path, "ro", ON_A_READ_ONLY_DISK).splitlines()
    assert len(lines) == 4
    assert all("is read-only; give another one (-o)" in line for line in lines)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the read-only disk is tested in its place")
def test_a_directory_without_write_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(OutputDirectoryError, match="you may not write to"):
        OutputDirectory.open(tmp_path / "out").__enter__()
