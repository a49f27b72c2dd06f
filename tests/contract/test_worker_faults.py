"""What keeps a worker from starting ends its job at once, with a status of its own and one line that names the fix."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster
from distributed.security import Security

from pocket_exec.worker.image import Image
from pocket_exec.worker.start import client_versions
from pocket_exec.worker.statuses import WorkerExit
from tests.contract.worker_jobs import Run, client_of, conda_like, scheduler


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with scheduler() as started:
        yield started


@pytest.fixture
def run(cluster: LocalCluster, tmp_path: Path) -> Run:
    return Run(tmp_path / "run", cluster.scheduler_address, cluster.security)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"host_setup_commands": ["false"]}, "failed with status 1: false"),
        ({"custom_setup_commands": ["true", "(exit 7)", "true"]}, "failed with status 7: (exit 7)"),
        ({"custom_setup_commands": ["source /no/such/file"]}, "failed with status 1: source /no/such/file"),
        ({"custom_setup_commands": ["exit 3"]}, "failed with status 3: exit 3"),
        ({"custom_setup_commands": ["exit 0"]}, "failed with status 0: exit 0"),
        ({"custom_setup_commands": ["set -e; false; true"]}, "failed with status 1: set -e; false; true"),
        ({"custom_setup_commands": ["if true; then"]}, "failed with status 2: if true; then"),
        ({"custom_setup_commands": ["true\nno-such-command-here"]}, "failed with status 127: no-such-command-here"),
        ({"env_script": "/no/such/script.sh"}, "failed with status 1: env-script /no/such/script.sh"),
    ],
)
def test_a_command_that_fails_is_told_with_its_text_and_status(options: dict[str, Any], line: str, run: Run) -> None:
    assert run.ended(run.script(**options)) == (WorkerExit.SETUP_COMMAND, f"pocket-exec worker w-1: {line}")


WHOLE_COMMANDS = """
# What follows needs more than one line, each.
if true; then
  declare -x STEP=4
fi
cat <<END >/dev/null
}
END
finish() {
  return "$1"
}
test "$(printf 'a
b')" = 'a
b' &&
  test "$STEP" = 4

shopt -s extglob
case abc in @(abc|x)) ;; *) exit 9 ;; esac
"""


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("source /no/such/file\nexport X=1\n", "failed with status 1: source /no/such/file"),
        ("export X=1\n(exit 6)\nexport Y=1", "failed with status 6: (exit 6)"),
        ("true\nif true; then\n  (exit 4)\nfi\ntrue\n", "failed with status 4: if true; then;   (exit 4); fi"),
        ("set -e\nfalse; true\ntrue", "failed with status 1: false; true"),
        ("true\nif true; then\nexit 0\n", "failed with status 2: if true; then; exit 0"),
        (f"{WHOLE_COMMANDS}finish 5\nexit 0", "failed with status 5: finish 5"),
    ],
)
@pytest.mark.parametrize("option", ["custom_setup_commands", "host_setup_commands"])
def test_in_a_text_of_several_lines_each_command_is_looked_at(option: str, block: str, line: str, run: Run) -> None:
    given: dict[str, Any] = {option: block}
    assert run.ended(run.script(**given)) == (WorkerExit.SETUP_COMMAND, f"pocket-exec worker w-1: {line}")


@pytest.mark.parametrize(("before", "text"), [("", "exit 3"), ("set -e", "(exit 3)")])
def test_a_script_of_a_conda_environment_that_ends_the_shell_is_named(
    before: str, text: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = conda_like(tmp_path / "conda", {}, {"a.sh": "true\n", "b.sh": f"{text}\n"})
    monkeypatch.setenv("CONDA_PREFIX", str(prefix))
    (tmp_path / "before.sh").write_text(f"{before}\n")
    status, line = run.ended(run.script(conda_env=True, env_script=str(tmp_path / "before.sh")))
    assert status == WorkerExit.SETUP_COMMAND
    assert line.endswith(f"failed with status 3: conda-env: source {prefix}/etc/conda/activate.d/b.sh")


def test_a_python_that_is_not_there(run: Run) -> None:
    status, line = run.ended(run.script(executable=["/no/such/python"]))
    assert status == WorkerExit.NO_PYTHON
    assert line.endswith("no /no/such/python here; see executable and worker-image")


def test_a_python_that_does_not_start(run: Run, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexit 4\n")
    (tmp_path / "python").chmod(0o755)
    status, line = run.ended(run.script(executable=[str(tmp_path / "python"), "-X dev"]))
    assert status == WorkerExit.NO_PYTHON
    assert line.endswith(f"Python does not start here (status 4): {tmp_path}/python -X dev")


def test_a_runtime_that_is_not_there(run: Run) -> None:
    run.image = Image("/", "/")
    run.environment["PATH"] = "/nowhere:/usr/bin:/bin"
    status, line = run.ended(run.script(container_binary="apptainer-of-nowhere"))
    assert (status, "apptainer-of-nowhere is not there on this machine" in line) == (WorkerExit.NO_RUNTIME, True)


def test_an_image_that_has_vanished(run: Run) -> None:
    run.image = Image("/no/image", "/no/image")
    status, line = run.ended(run.script(container_binary="/bin/false"))
    assert status == WorkerExit.NO_IMAGE
    assert line.endswith("no image /no/image on this machine")


def test_an_image_that_does_not_start(run: Run, tmp_path: Path) -> None:
    (tmp_path / "apptainer").write_text("#!/bin/sh\nexit 255\n")
    (tmp_path / "apptainer").chmod(0o755)
    run.image = Image("/", "/")
    status, line = run.ended(run.script(container_binary=str(tmp_path / "apptainer")))
    assert status == WorkerExit.NO_IMAGE
    assert line.endswith("could not start the image (status 255); what it said stands above")


def test_a_scheduler_that_cannot_be_reached(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        run.address = f"tls://127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        status, line = run.ended(run.script())
    assert status == WorkerExit.UNREACHABLE
    assert (
        f"the scheduler at {run.address.removeprefix('tls://')} cannot be reached from {socket.gethostname()}" in line
    )
    assert "see scheduler-host, scheduler-interface and scheduler-ports" in line
    assert time.monotonic() - began < 60


def test_a_scheduler_of_another_run(run: Run) -> None:
    run.security = Security.temporary()
    status, line = run.ended(run.script())
    assert status == WorkerExit.UNREACHABLE
    assert "answers, but not with this run's certificate" in line


def test_another_version_of_what_decides(run: Run) -> None:
    run.changes = {"versions": {**client_versions(), "coffea": "0.7.21", "distributed": "2021.1.0", "awkward": "1.0"}}
    status, line = run.ended(run.script())
    assert status == WorkerExit.VERSIONS
    for package, other in (("coffea", "0.7.21"), ("distributed", "2021.1.0")):
        here = client_versions()[package]
        assert f"{package} {here} ({other} where the run was started)" in line
    assert line.endswith("; see executable, local-virtualenv, conda-env and worker-image")


def test_another_python_is_told_before_anything_of_this_project_is_read(run: Run) -> None:
    run.changes = {"versions": {**client_versions(), "python": "3.99"}}
    status, line = run.ended(run.script())
    assert status == WorkerExit.VERSIONS
    assert f"({sys.executable}) and 3.99 where the run was started; see executable" in line


TELLS_IMPORTS = [sys.executable, "-X", "importtime"]
# Small modules of the standard library, and names that it looks for in vain on this system.
OF_THE_PREFLIGHT = {"encodings.cp437", "getpass", "sitecustomize", "termios", "_winapi", "nt"}
OF_THE_PREFLIGHT |= {"org", "org.python", "org.python.core"}


def imported(log: str) -> list[list[str]]:
    """Return the modules that each Python has imported, in their order, out of what ``TELLS_IMPORTS`` prints."""
    names = [line.rpartition("|")[2].strip() for line in log.splitlines() if line.startswith("import time:")]
    starts = [place for place, name in enumerate(names) if name == "imported package"]
    return [names[first + 1 : end] for first, end in pairwise([*starts, len(names)])]


def beyond_the_worker(modules: Iterable[str]) -> set[str]:
    """Return those modules that neither Dask's worker imports when the preflight has passed, nor are this project's."""
    program = "import sys, distributed.cli.dask_worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    others = {name for name in modules if name.partition(".")[0] != "pocket_exec"}
    return others - set(done.stdout.split()) - OF_THE_PREFLIGHT


def test_a_preflight_imports_hardly_more_than_the_worker_does_anyway_and_starts_no_process(
    run: Run, cluster: LocalCluster
) -> None:
    run.needed = ("json", "coffea")
    with run.job(run.script(executable=TELLS_IMPORTS)) as job, client_of(cluster):
        found = imported(job.text())
        assert job.end(signal.SIGTERM) < 10
    archive, worker = found[:2]
    # The look at the archive does without the packages of its Python.
    assert "site" not in archive
    preflight = worker[: worker.index("pocket_exec.worker.dask_worker")]
    assert "pocket_exec.worker.preflight" in preflight
    assert beyond_the_worker([*archive, *preflight]) == set()
    assert not {"dask", "coffea", "subprocess", "_posixsubprocess", "multiprocessing"} & set(preflight)


def test_a_module_that_is_not_there_is_told_before_anything_slow_is_imported(run: Run) -> None:
    run.needed = ("json", "no_such_module_of_the_user", "nor_this_one")
    status, line = run.ended(run.script(executable=TELLS_IMPORTS))
    assert status == WorkerExit.MODULES
    assert "has no module no_such_module_of_the_user, nor_this_one; see executable" in line
    archive, worker = imported((run.directory / "job w-1" / "log").read_text())
    assert "pocket_exec.worker.preflight" in worker
    assert not {"dask", "distributed", "coffea", "awkward", "numpy"} & {*archive, *worker}


def test_a_directory_that_cannot_be_written(run: Run) -> None:
    status, line = run.ended(run.script(local_directory="/dev/null/$USER"))
    assert status == WorkerExit.DIRECTORY
    assert line.endswith("Not a directory; see local-directory")
    assert "$USER" not in line


def test_a_working_directory_that_is_not_there(run: Run) -> None:
    status, line = run.ended(run.script(working_dir="/no/such/directory"))
    assert status == WorkerExit.DIRECTORY
    assert line.endswith("/no/such/directory (working-dir) cannot be entered here; see mounts")


def test_ports_that_are_all_taken(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        status, line = run.ended(run.script(nanny_ports=str(taken.getsockname()[1])))
    assert status == WorkerExit.NO_WORKER
    assert "Dask's worker could not be started" in line


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("code.zip", "code.zip cannot be read here; see mounts, and shared-filesystem: false"),
        ("worker.json", "worker.json cannot be read here; see mounts, and shared-filesystem: false"),
        ("key.pem", "key.pem cannot be read here: the run that made it is over"),
    ],
)
def test_a_file_of_the_run_that_is_gone(missing: str, told: str, run: Run) -> None:
    script = run.script()
    (run.directory / missing).unlink()
    status, line = run.ended(script)
    assert (status, told in line) == (WorkerExit.FILES, True)


def test_a_torn_settings_file(run: Run) -> None:
    script = run.script()
    (run.directory / "worker.json").write_text("{")
    status, line = run.ended(script)
    assert (status, "the settings cannot be read" in line) == (WorkerExit.FILES, True)


def test_a_torn_archive(run: Run) -> None:
    script = run.script()
    archive = run.directory / "code.zip"
    archive.write_bytes(archive.read_bytes()[:5000])
    status, _ = run.ended(script)
    assert status == WorkerExit.FILES
