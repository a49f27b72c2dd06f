"""Z -> mumu on a farm like CERN's: the same bits in every way to an image, clear words for what fails, nothing left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.farm.zmumu_runs import LXPLUS, NO_KERBEROS, Zmumu, analysis, movable_python, samples
from tests.farm_build.farm import Farm
from tests.unit.executors.test_proxy import proxy

pytestmark = pytest.mark.farm

WAYS = {
    "apptainer in the command": ("dask@htcondor", ["--worker-image=auto"]),
    "MY.SingularityImage": ("dask@lxplus", ["--spool=false", NO_KERBEROS]),
    "container universe": ("dask@htcondor", ["--worker-image=auto", "--container-runtime=site"]),
    "spool": ("dask@lxplus", [NO_KERBEROS]),
    "plain": ("dask@htcondor", []),
    "without encryption": ("dask@htcondor", ["--worker-image=auto", "--security=none"]),
}


@pytest.fixture(scope="module")
def zmumu(farm: Farm, zmumu_files: dict[str, list[Path]]) -> Iterator[Zmumu]:
    """The analysis where client and workers see it."""
    made = analysis(farm, farm.home / "zmumu", samples(zmumu_files), LXPLUS)
    yield made
    shutil.rmtree(made.directory)


def until_empty(farm: Farm) -> None:
    """Wait for the end of removed jobs: each stands in the queue until its machine has said that it is over."""
    end = time.monotonic() + 60
    while jobs := farm.condor_jobs():
        # Removed, every one of them, or ended before that.
        assert {job.split()[1] for job in jobs} <= {"3", "4"}
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.parametrize("way", WAYS)
def test_the_result_is_the_same_to_the_bit(zmumu: Zmumu, way: str) -> None:
    executor, flags = WAYS[way]
    out = way.replace(" ", "-")
    zmumu.run(out, executor, *flags)
    assert zmumu.same(out)
    written = zmumu.record(out)
    assert written["jobs_tag"].startswith("pocket-exec-")
    if way != "plain":
        assert (
            written["image"] == f"/cvmfs/unpacked.cern.ch/.flat/{written['image_digest'][:2]}/{written['image_digest']}"
        )
        assert written["image_date"].startswith("20")


def test_the_logs_of_spooled_workers_are_there_after_a_run_that_ended_well(zmumu: Zmumu) -> None:
    zmumu.run("spooled-logs", "dask@lxplus", NO_KERBEROS)
    logs = zmumu.directory / "spooled-logs" / "log" / zmumu.record("spooled-logs")["jobs_tag"]
    written = [path.read_text() for path in logs.glob("*.err")]
    # A worker that came too late for the end of the run has not ended by itself.
    late = "had not ended" in (logs.parent / "runner.log").read_text()
    assert late or any("Start worker at" in text for text in written), (written, sorted(logs.iterdir()))


def test_without_a_shared_file_system_input_code_and_certificates_travel(
    farm: Farm, zmumu_files: dict[str, list[Path]]
) -> None:
    far = analysis(farm, farm.unshared / farm.user / "zmumu", samples(zmumu_files))
    try:
        flags = ["--shared-filesystem=false", "--transfer-files=data/*.root", "--worker-image=auto"]
        far.run("out", "dask@htcondor", *flags, "--container-runtime=site")
        assert far.same("out")
        until_empty(farm)
    finally:
        shutil.rmtree(far.directory)


@pytest.mark.parametrize("image", ["plain", "in an image"])
def test_a_local_virtual_environment_is_that_of_the_workers(
    zmumu: Zmumu, farm: Farm, image: str, shared_dir: Path
) -> None:
    flags = ["--local-virtualenv"]
    if image == "in an image":
        binds = (
            f"{{{farm.holding.venv}: {farm.holding.venv}, {Path(__file__).parents[2]}: {Path(__file__).parents[2]}}}"
        )
        flags += ["--worker-image=auto", f"--mounts={binds}"]
    out = f"virtualenv-{image.replace(' ', '-')}"
    replace(zmumu, python=movable_python(farm, shared_dir)).run(out, "dask@htcondor", *flags)
    assert zmumu.same(out)
    logs = "".join(path.read_text() for path in (zmumu.directory / out / "log").rglob("*.err"))
    assert "warning:" not in logs


def test_a_wrong_image_path_is_refused_before_anything_is_submitted(zmumu: Zmumu, farm: Farm) -> None:
    said = zmumu.run("wrong-image", "dask@htcondor", f"--worker-image={farm.image}x", status=3)
    assert f"worker-image {farm.image}x: no such file or directory; did you mean {farm.image}" in said
    assert "submitted" not in said


@pytest.mark.parametrize("runtime", ["auto", "site"])
def test_an_image_that_no_worker_sees_is_reported(zmumu: Zmumu, farm: Farm, runtime: str, unshared_dir: Path) -> None:
    # To the workers, one that only the client sees is one that has gone.
    (unshared_dir / "image" / "usr").mkdir(parents=True)
    (unshared_dir / "image" / "bin").mkdir()
    image = unshared_dir / "image"
    flags = [f"--worker-image={image}", f"--container-runtime={runtime}", "--image-attribute=SingularityImage"]
    said = zmumu.run(f"vanished-{runtime}", "dask@htcondor", *flags, status=4)
    assert "no worker can start" in said
    assert f"no image {image} on this machine" in said if runtime == "auto" else f"{image}" in said
    until_empty(farm)


@pytest.mark.parametrize("runtime", ["auto", "site"])
def test_an_image_that_vanishes_after_submission_is_reported(
    zmumu: Zmumu, farm: Farm, runtime: str, shared_dir: Path
) -> None:
    image = shared_dir / "image"
    for name in ("usr", "bin"):
        (image / name).mkdir(parents=True)
    flags = [f"--worker-image={image}", f"--container-runtime={runtime}", "--image-attribute=SingularityImage"]
    # No machine takes a job before the image has gone.
    later = "--requirements=[time() > QDate + 20]"
    out = f"vanishes-{runtime}"
    with zmumu.popen(out, "dask@htcondor", later, *flags) as process:
        end = time.monotonic() + 60
        while len(farm.condor_jobs()) < 2:
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert time.monotonic() < end
            time.sleep(0.2)
        shutil.rmtree(image)
        said, _ = process.communicate(timeout=200)
    assert process.returncode == 4, said
    assert "no worker can start" in said
    assert str(image) in said
    until_empty(farm)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("without-python", "no python3 here; see executable and worker-image"),
        ("other-python", "where the run was started; take an image with Python "),
        ("other-coffea", " where the run was started); take an image with Python "),
        ("other-distributed", " where the run was started); take an image with Python "),
    ],
)
def test_an_image_that_does_not_fit_is_told_before_anything_is_computed(
    zmumu: Zmumu, farm: Farm, image: str, told: str
) -> None:
    said = zmumu.run(f"image-{image}", "dask@htcondor", f"--worker-image={farm.images[image]}", status=4)
    assert re.search(r"no worker can start: \d jobs? failed alike", said)
    assert told in said


@pytest.mark.parametrize("spool", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_client_that_is_killed_leaves_nothing_in_the_queue(
    zmumu: Zmumu, farm: Farm, number: signal.Signals, spool: bool
) -> None:
    out = f"killed-{number.name}-{spool}"
    with zmumu.popen(out, "dask@lxplus", f"--spool={str(spool).lower()}", NO_KERBEROS) as process:
        end = time.monotonic() + 60
        while len(farm.condor_jobs()) < 2 or not zmumu.knows_its_jobs(out):
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert time.monotonic() < end
            time.sleep(0.2)
        os.kill(process.pid, number)
        killed = time.monotonic()
        said, _ = process.communicate(timeout=120)
        # One that may still close does so first, in its own time.
        gone = killed if number == signal.SIGKILL else time.monotonic()
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), said
    while farm.condor_jobs():
        assert time.monotonic() - gone < 30
        time.sleep(0.5)
    while private := list((zmumu.directory / out / "log").rglob("private")):
        assert time.monotonic() - gone < 30, (private, said)
        time.sleep(0.5)
    assert "Traceback" not in said


def test_a_file_is_mounted_as_one_and_where_that_cannot_be_the_runtimes_words_are_shown(
    zmumu: Zmumu, farm: Farm, shared_dir: Path
) -> None:
    file = shared_dir / "a b, c.json"
    file.write_text("corrections")
    os.chown(file, farm.uid, farm.uid)
    check = "--custom-setup-commands=[grep -q corrections /calibration.json]"
    mount = f"--mounts={{'{file}': /calibration.json}}"
    zmumu.run("mounted-file", "dask@htcondor", "--worker-image=auto", check, mount)
    assert zmumu.same("mounted-file")
    mount = f"--mounts={{'{file}': /usr/bin}}"
    said = zmumu.run("file-on-a-directory", "dask@htcondor", "--worker-image=auto", mount, status=4)
    assert "no worker can start" in said
    assert "could not start the image" in said
    assert str(file) in "".join(path.read_text() for path in (zmumu.directory / "file-on-a-directory").rglob("*.err"))


def test_another_machine_is_refused_unless_it_is_asked_for(zmumu: Zmumu) -> None:
    elsewhere = replace(zmumu, hostname=None)
    said = elsewhere.run("elsewhere", "dask@lxplus", status=3)
    assert "submit-host: this machine is 'submit01.farm.test', and runs are started on one whose name contains" in said
    said = elsewhere.run("elsewhere", "dask@lxplus", "--submit-host=null", "--dry-run")
    assert "MY.SingularityImage = " in said


def test_eos_takes_no_submission(zmumu: Zmumu, farm: Farm) -> None:
    eos = f"/eos/user/p/{farm.user}/logs"
    said = zmumu.run("eos", "dask@lxplus", f"--log-directory={eos}", status=3)
    assert f"log-directory: {eos}/pocket-exec-" in said
    assert (
        "is under /eos, from where the batch system takes no submission (no-submit-from); set `log-directory`" in said
    )


def test_the_proxy_reaches_the_workers_and_one_that_has_expired_is_refused(zmumu: Zmumu, farm: Farm) -> None:
    good = proxy(zmumu.directory / "x509", timedelta(hours=20))
    os.chown(good, farm.uid, farm.uid)
    good.chmod(0o600)
    check = 'test "$(stat -L -c %a "$X509_USER_PROXY")" = 600 && grep -q CERTIFICATE "$X509_USER_PROXY"'
    for name, flags in {
        "copied": ["--spool=false", f"--proxy-directory={zmumu.directory / 'proxies'}"],
        "shipped": [],
    }.items():
        setup = f"--custom-setup-commands=[{check!r}]"
        zmumu.run(f"proxy-{name}", "dask@lxplus", NO_KERBEROS, f"--voms-proxy={good}", setup, *flags)
        assert zmumu.same(f"proxy-{name}")
    assert list((zmumu.directory / "proxies").iterdir()) == []
    old = proxy(zmumu.directory / "old", -timedelta(hours=1))
    said = zmumu.run("proxy-old", "dask@lxplus", f"--voms-proxy={old}", status=3)
    assert "it has expired; renew it with `voms-proxy-init" in said


def test_more_memory_than_any_machine_has_is_told(zmumu: Zmumu, farm: Farm) -> None:
    said = zmumu.run("memory", "dask@htcondor", "--mem-per-worker=900GB", status=4)
    assert "no worker can start: 2 jobs failed alike: its job can never start: it asks for 858307 MiB" in said
    assert "and no machine of the pool has more than " in said
    assert "; lower mem-per-worker" in said


def test_all_that_no_flavour_and_no_machine_allows_is_refused_at_once(zmumu: Zmumu) -> None:
    wished = ["--walltime=30d", "--mem-per-worker=900GB", "--mem-per-worker-limit=60GB"]
    said = zmumu.run("refused", "dask@lxplus", *wished, status=3)
    assert (
        "walltime (--walltime): '720:00:00' is longer than any queue lets a job run; the longest is 'nextweek'" in said
    )
    limit = "mem-per-worker-limit (--mem-per-worker-limit) is '60GB'"
    assert f"mem-per-worker (--mem-per-worker): '900GB' is more than a job may ask for here: {limit}" in said
