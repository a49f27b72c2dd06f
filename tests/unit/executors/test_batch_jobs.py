"""What a run's jobs are made of: files that travel, resources, walltimes, the proxy's way to the workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pocket_exec.batch.find import batch_system
from pocket_exec.errors import ExecutorError, OptionsError
from pocket_exec.executors.batch import scheduler_place
from pocket_exec.executors.before_submission import Findings
from pocket_exec.executors.dry_run import dry_run_text, scheduler_address
from pocket_exec.executors.proxy import WorkerProxy, on_workers
from pocket_exec.executors.run_places import run_places
from pocket_exec.executors.worker_jobs import WorkerJobs, lifetime_s, runs_for_s
from pocket_exec.options.batch import BatchOptions
from pocket_exec.worker.image import Image
from tests.unit.batch.answers import TAG, htcondor_options, slurm_options


def jobs(options: BatchOptions, directory: Path, **changes: Any) -> WorkerJobs:
    usual: dict[str, Any] = {
        "options": options,
        "tag": TAG,
        "places": run_places(options, directory / "out", TAG),
        "image": None,
        "proxy": None,
        "outputdir": directory / "out",
        "module_dirs": (directory,),
        "modules": ["zmumu"],
        "dask_config": {},
    }
    return WorkerJobs(**{**usual, **changes})


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A user's directory with data in it."""
    (tmp_path / "data" / "more").mkdir(parents=True)
    for name in ("a.root", "b.root", "more/c.root"):
        (tmp_path / "data" / name).touch()
    (tmp_path / "zmumu.py").write_text("")
    return tmp_path


def test_on_a_shared_file_system_nothing_travels(here: Path) -> None:
    made = jobs(htcondor_options(transfer_files=["data/*.root"]), here)
    assert made.submission.files == ()
    assert made.moved == {}


def test_without_one_all_that_the_workers_need_does(here: Path) -> None:
    made = jobs(htcondor_options(shared_filesystem=False, transfer_files=["data/?.root", "data/more"]), here)
    names = [path.name for path in made.submission.files]
    assert names[0].startswith("code-")
    assert names[1:] == ["worker.json", "ca.pem", "cert.pem", "key.pem", "a.root", "b.root", "more"]
    assert made.moved[str(here / "data" / "a.root")] == "a.root"
    assert made.moved[str(here / "data" / "more" / "c.root")] == "more/c.root"


def test_the_settings_name_files_as_the_worker_sees_them(here: Path) -> None:
    far = jobs(htcondor_options(shared_filesystem=False), here).settings("tls://h:1").tls
    near = jobs(htcondor_options(), here).settings("tls://h:1").tls
    assert far is not None
    assert near is not None
    assert far.key == "key.pem"
    assert near.key == str(here / "out" / "log" / TAG / "private" / "key.pem")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("missing.root", "transfer-files: no file .*/missing.root"),
        ("no*.root", r"transfer-files: no file .*/no\*.root"),
        ("other/a.root", "data/a.root and .*/other/a.root: workers get both under one name"),
        ("other/worker.json", "private/worker.json and .*/other/worker.json: workers get both under one name"),
        ("other/worker.sh", "private/worker.sh and .*/other/worker.sh: workers get both under one name"),
        ("other/x509", "/grid/x509 and .*/other/x509: workers get both under one name"),
        ("other/my.sif", "other/my.sif and .*/my.sif: workers get both under one name"),
        ("other/setup.sh", "/setup.sh and .*/other/setup.sh: workers get both under one name"),
    ],
)
def test_a_listed_file_that_cannot_travel_is_told(given: str, told: str, here: Path) -> None:
    (here / "other").mkdir()
    for name in ("a.root", "worker.json", "worker.sh", "x509", "my.sif", "setup.sh"):
        (here / "other" / name).touch()
    (here / "setup.sh").touch()
    image = Image("my.sif", "my.sif", file=here / "my.sif")
    proxy = WorkerProxy(Path("/grid/x509"), shipped=True)
    options = htcondor_options(
        shared_filesystem=False, env_script="setup.sh", transfer_files=["data/a.root", "setup.sh", given]
    )
    with pytest.raises(ExecutorError, match=told):
        _ = jobs(options, here, image=image, proxy=proxy).submission


def test_files_of_the_runs_own_leave_their_names_to_no_others(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret-token")
    (here / "environment.sh").touch()
    options = htcondor_options(shared_filesystem=False, pass_environment=["MY_TOKEN"], env_script="environment.sh")
    with pytest.raises(ExecutorError, match=r"private/environment.sh and .*/environment.sh: workers get both"):
        _ = jobs(options, here).submission


def test_a_dry_run_lists_all_files_that_workers_read(here: Path) -> None:
    (here / "setup.sh").touch()
    image = Image(str(here / "my.sif"), str(here / "my.sif"), file=here / "my.sif")
    proxy = WorkerProxy(Path("/grid/x509"), shipped=True)
    given: dict[str, Any] = {"env_script": "setup.sh", "transfer_files": ["data/a.root"], "scheduler_host": "10.0.0.1"}

    def files(options: BatchOptions, **changes: Any) -> list[str]:
        text = dry_run_text(batch_system(options), jobs(options, here, **changes), scheduler_place(options))
        return text.partition("### files that the workers read\n")[2].partition("###")[0].split()

    far = files(htcondor_options(shared_filesystem=False, **given), image=image, proxy=proxy)
    assert {str(here / name) for name in ("setup.sh", "data/a.root", "my.sif")} | {"/grid/x509"} <= {*far}
    near = files(htcondor_options(**given))
    assert str(here / "setup.sh") in near
    assert str(here / "data" / "a.root") not in near


def test_an_env_script_beside_cfg_travels_too(here: Path) -> None:
    (here / "setup.sh").touch()
    made = jobs(htcondor_options(shared_filesystem=False, env_script="setup.sh"), here)
    assert made.submission.files[-1] == here / "setup.sh"
    with pytest.raises(ExecutorError, match="env-script: no file"):
        _ = jobs(htcondor_options(shared_filesystem=False, env_script="other.sh"), here).submission


def test_an_image_in_a_file_that_the_workers_do_not_see_travels_by_whoever_starts_it(here: Path) -> None:
    path = here / "my.simg"
    path.touch()
    image = Image(str(path), str(path), file=path)
    by_site = jobs(htcondor_options(shared_filesystem=False, container_runtime="site"), here, image=image).submission
    assert (by_site.image, by_site.image_travels) == (str(path), True)
    assert path not in by_site.files
    by_script = jobs(htcondor_options(shared_filesystem=False), here, image=image).submission
    assert (by_script.image, by_script.image_travels) == (None, False)
    assert path in by_script.files


def test_the_batch_system_gets_the_image_only_if_it_is_to_start_it(here: Path) -> None:
    image = Image("auto", "/cvmfs/unpacked.cern.ch/.flat/0a/0a12")
    by_site = jobs(htcondor_options("dask@lxplus", submit_host=None), here, image=image)
    assert by_site.submission.image == image.reference
    assert "apptainer" not in by_site.script
    by_script = jobs(htcondor_options(worker_image="auto"), here, image=image)
    assert by_script.submission.image is None
    assert image.reference in by_script.script


@pytest.mark.parametrize(
    ("walltime", "queue", "seconds", "lifetime"),
    [
        (None, "microcentury", 3600, 3600 - 180),
        (None, "espresso", 1200, 1200 - 60),
        (None, "nextweek", 7 * 86400, 7 * 86400 - 600),
        ("5m", None, 300, 300 - 60),
        ("100s", None, 100, None),
        ("2h", None, 7200, 7200 - 360),
    ],
)
def test_a_worker_leaves_before_its_walltime_is_over(
    walltime: str | None, queue: str | None, seconds: int, lifetime: int | None
) -> None:
    options = htcondor_options("dask@lxplus", walltime=walltime, queue=queue)
    assert runs_for_s(options) == seconds
    assert lifetime_s(options) == lifetime


def test_a_walltime_that_nobody_knows_ends_no_worker() -> None:
    assert runs_for_s(htcondor_options()) is None
    assert lifetime_s(htcondor_options()) is None


PRIVATE = Path("/work/ana/out/log/run/private")


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        ("/tmp/x509up_u1", slurm_options(), {"copy": PRIVATE / "x509up"}),
        ("/home/ana/x509", slurm_options(), {}),
        ("/home/ana/x509", slurm_options(proxy_directory="."), {"copy": PRIVATE / "x509up"}),
        ("/home/ana/x509", slurm_options(proxy_directory="/work/p"), {"copy": Path(f"/work/p/x509up_{TAG}")}),
        ("/home/ana/x509", htcondor_options(), {}),
        ("/tmp/x509up_u1", htcondor_options(), {"copy": PRIVATE / "x509up"}),
        ("/tmp/x509up_u1", htcondor_options(spool=True), {"shipped": True}),
        ("/tmp/x509up_u1", htcondor_options(shared_filesystem=False), {"shipped": True}),
        ("/home/ana/x509", htcondor_options(proxy_directory="."), {"shipped": True}),
        ("/home/ana/x509", htcondor_options(proxy_directory="/work/p"), {"copy": Path(f"/work/p/x509up_{TAG}")}),
    ],
)
def test_the_proxy_comes_to_the_workers_in_the_way_in_which_they_can_read_it(
    source: str, options: BatchOptions, expected: dict[str, Any]
) -> None:
    ships = batch_system(options).ships_proxy
    placed = on_workers(options, Path(source), PRIVATE, TAG, ships=ships)
    assert placed == WorkerProxy(Path(source), **expected)
    assert placed.seen == (None if placed.shipped else str(placed.copy or source))
    assert on_workers(options, None, PRIVATE, TAG, ships=ships) is None


def test_what_a_batch_system_does_not_do_is_told_before_anything_is_submitted(here: Path) -> None:
    options = slurm_options(shared_filesystem=False, container_runtime="site")
    found = Findings(system=batch_system(options))
    found.look_at(jobs(options, here, image=Image("/a", "/a")))
    with pytest.raises(OptionsError) as caught:
        found.settle("dask@slurm", lenient=False)
    assert "shared-filesystem: is false, and slurm transfers no files" in str(caught.value)
    assert "container-runtime: is 'site', and slurm starts no images" in str(caught.value)


def test_no_secret_is_in_what_a_dry_run_prints(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pocket_exec.batch.slurm import Slurm

    monkeypatch.setenv("MY_TOKEN", "s3cret-token")
    options = slurm_options(
        worker_image="docker://gitlab-registry.cern.ch/a/b:t",
        tokenuser="ana",
        tokenpassword="s3cret-password",
        pass_environment=["MY_TOKEN"],
        scheduler_host="10.0.0.1",
    )
    image = Image("docker://gitlab-registry.cern.ch/a/b:t", "docker://gitlab-registry.cern.ch/a/b:t")
    text = dry_run_text(Slurm.from_options(options), jobs(options, here, image=image), scheduler_place(options))
    assert "s3cret" not in text
    for name in ("environment.sh", "login.sh", "key.pem"):
        assert f"/private/{name}\n" in text
    assert '"scheduler": "tls://10.0.0.1:8786"' in text
    assert text.startswith("### 10 jobs submitted by\nsbatch --parsable 01234567-0.sbatch\n")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({"scheduler_host": "10.0.0.1"}, "tls://10.0.0.1:8786"),
        ({"scheduler_host": "10.0.0.1", "scheduler_ports": "30000:30100"}, "tls://10.0.0.1:30000"),
        ({"scheduler_host": "10.0.0.1", "scheduler_ports": "8000:9000"}, "tls://10.0.0.1:8786"),
        ({"scheduler_host": "10.0.0.1", "dask_scheduler_port": 0, "security": "none"}, "tcp://10.0.0.1:0"),
        ({"scheduler_host": "fqdn", "scheduler_interface": "lo"}, "tls://127.0.0.1:8786"),
        ({"scheduler_host": "::1", "scheduler_interface": "lo"}, "tls://[::1]:8786"),
    ],
)
def test_the_scheduler_of_a_dry_run_is_where_the_run_would_start_it(given: dict[str, Any], address: str) -> None:
    options = slurm_options(**given)
    assert scheduler_address(scheduler_place(options), encrypted=options.security == "tls") == address


def test_a_network_interface_that_this_machine_has_not_is_a_warning_of_a_dry_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = scheduler_place(slurm_options(scheduler_interface="nosuch0"))
    assert scheduler_address(place, encrypted=True).startswith("tls://")
    assert "scheduler-interface: 'nosuch0' is not a valid network interface" in caplog.text
