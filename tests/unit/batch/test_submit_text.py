"""Submit descriptions and batch scripts are pinned whole; what they cannot hold is refused.

``POCKET_EXEC_WRITE_GOLDEN=1`` writes the files anew, to be looked at before they are kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pocket_exec.batch.htcondor import HTCondor
from pocket_exec.batch.htcondor_description import submit_description
from pocket_exec.batch.slurm import Slurm
from pocket_exec.batch.slurm_script import batch_script
from pocket_exec.batch.system import BatchSystem, Resources
from pocket_exec.errors import OptionsError
from tests.unit.batch.answers import GB, GOLDEN, a_submission, htcondor_options, slurm_options

HOSTILE = '/work/a b/a\'; echo x/q"=0"/$(id)/$$/%h/$ENV(HOME)/`id`/ünï#1'
FLAT = "/cvmfs/unpacked.cern.ch/.flat/0a/0ab7056111caa7ef"


def lxplus() -> str:
    """A flavour, the image by an attribute, spooled."""
    return submit_description(
        a_submission("/afs/cern.ch/user/p/physicist/ana/out/log/run", queue="microcentury", image=FLAT),
        htcondor_options("dask@lxplus"),
    )


def lxplus_walltime() -> str:
    """A walltime in place of the flavour, an accounting group, a proxy."""
    submission = a_submission(
        "/afs/cern.ch/user/p/physicist/ana/out/log/run",
        queue="microcentury",
        image=FLAT,
        account="group_u_CMS.u_zh.users",
        proxy=Path("/tmp/x509up_u1000"),
        resources=Resources(cores=4, memory=8 * 2**30, disk=10 * GB, gpus=1, walltime_s=9000),
    )
    return submit_description(submission, htcondor_options("dask@lxplus", walltime="2h30m"))


def plain() -> str:
    """A pool with a shared file system, and nothing of its own."""
    return submit_description(a_submission(), htcondor_options())


def walltime() -> str:
    """A pool that knows no walltime."""
    resources = Resources(cores=1, memory=2 * GB, walltime_s=3600)
    return submit_description(a_submission(resources=resources), htcondor_options(walltime="1h"))


def transferred() -> str:
    """The infn-af site: all files travel; requirements and sites; a further setting, one overridden."""
    options = htcondor_options(
        "dask@infn-af",
        requirements=["TARGET.HasSingularity", "Memory > 4000 || Cpus > 8"],
        site_names=["T2_LNL_PD", 'T1 "CNAF"'],
        htcondor_settings={"+WantIt": True, "Request_Memory": "3 GB", "getenv": "LANG"},
    )
    directory = Path("/home/p/out/log/run")
    files = tuple(directory / name for name in ("code-0123.zip", "worker.json", "ca.pem", "my key.pem"))
    return submit_description(a_submission(directory, files=files, image=FLAT), options)


def universe() -> str:
    """The container universe, with a file that has to travel."""
    options = htcondor_options(shared_filesystem=False, container_runtime="site")
    return submit_description(a_submission(image="/home/p/my.sif", image_travels=True), options)


def universe_shared() -> str:
    """The container universe, with an image that the workers see."""
    return submit_description(a_submission(image=FLAT), htcondor_options(container_runtime="site"))


def hostile_htcondor() -> str:
    """Words as they may come."""
    submission = a_submission(
        f"{HOSTILE}/run",
        log_directory=Path(f"{HOSTILE}/logs"),
        files=(Path(f"{HOSTILE}/in put.zip"),),
        image=f"{HOSTILE}.sif",
        account="a b",
        queue='a"b $(x)',
        proxy=Path(f"{HOSTILE}/x509"),
    )
    options = htcondor_options(
        site_names=[HOSTILE],
        image_attribute="SingularityImage",
        queue_attribute="JobFlavour",
        shared_filesystem=False,
    )
    return submit_description(submission, options)


def psi() -> str:
    """A partition and its walltime."""
    options = slurm_options("dask@T3_CH_PSI")
    resources = Resources(cores=1, memory=4 * GB, walltime_s=options.walltime)
    return batch_script(a_submission(resources=resources, queue=options.queue), options)


def slurm_all() -> str:
    """Everything that can be asked of Slurm, and settings that exclude what would be written."""
    options = slurm_options(
        slurm_settings={"constraint": "zen4 & avx2", "exclusive": True, "mem-per-cpu": "2G", "requeue": True},
        queue_limits={"quick": "1h", "standard": "12h", "long": "7d"},
    )
    resources = Resources(cores=4, memory=2**31 + 1, disk=3 * GB, gpus=2, walltime_s=3661)
    names = tuple(f"01234567-{number}" for number in range(30))
    return batch_script(a_submission(names=names, resources=resources, account="cms"), options)


def hostile_slurm() -> str:
    """Words as they may come."""
    submission = a_submission(
        f"{HOSTILE}/run",
        log_directory=Path(f"{HOSTILE}/logs"),
        account="a b",
        queue='a"b $(x)',
        resources=Resources(cores=1, memory=2 * GB),
    )
    return batch_script(submission, slurm_options(slurm_settings={"qos": "a'; echo x"}))


TEXTS: dict[str, Callable[[], str]] = {
    "htcondor/lxplus.sub": lxplus,
    "htcondor/lxplus-walltime.sub": lxplus_walltime,
    "htcondor/plain.sub": plain,
    "htcondor/walltime.sub": walltime,
    "htcondor/infn-af.sub": transferred,
    "htcondor/container-universe.sub": universe,
    "htcondor/container-universe-shared.sub": universe_shared,
    "htcondor/hostile.sub": hostile_htcondor,
    "slurm/T3_CH_PSI.sbatch": psi,
    "slurm/all.sbatch": slurm_all,
    "slurm/hostile.sbatch": hostile_slurm,
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_submitted_is_this(name: str) -> None:
    text = TEXTS[name]()
    golden = GOLDEN / name
    if os.environ.get("POCKET_EXEC_WRITE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_every_golden_text_has_its_submission() -> None:
    found = [path for folder in ("htcondor", "slurm") for path in (GOLDEN / folder).iterdir()]
    assert {path.relative_to(GOLDEN).as_posix() for path in found} == set(TEXTS)


@pytest.mark.parametrize("bad", ["/a\nb", "/a\rb"])
@pytest.mark.parametrize("part", ["directory", "log_directory", "script"])
@pytest.mark.parametrize("system", [HTCondor.from_options(htcondor_options()), Slurm.from_options(slurm_options())])
def test_a_line_break_in_a_path_is_refused(bad: str, part: str, system: BatchSystem) -> None:
    with pytest.raises(OptionsError, match="holds a line break"):
        system.describe(a_submission(**{part: Path(bad) / "private"}))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/a/$$(b)/c", r"holds '\$\$\('"),
        ("/a/$$ENV(b)/c", r"holds '\$\$ENV\('"),
        ("/a/$(dollar)/c", r"holds '\$\(dollar\)'"),
        ("/a/b ", "begins or ends with a space"),
        ("/a/b\\", "ends in a backslash"),
    ],
)
def test_what_htcondor_cannot_be_told_is_refused(path: str, why: str) -> None:
    with pytest.raises(OptionsError, match=f"log-directory: .*{why}.*choose another name"):
        submit_description(a_submission(directory=Path(path) / "private"), htcondor_options())


@pytest.mark.parametrize("name", ["my.sif", "my.simg", "my.sqsh", "image"])
def test_an_image_in_a_file_that_the_workers_do_not_see_is_copied_to_them_whatever_its_name(name: str) -> None:
    options = htcondor_options(shared_filesystem=False, container_runtime="site")
    image = f"/home/p/{name}"
    lines = _described(submit_description(a_submission(image=image, image_travels=True), options))
    assert lines["container_image"] == image
    assert "transfer_container" not in lines
    assert _described(submit_description(a_submission(image=image), options))["transfer_container"] == "False"


def test_an_image_that_an_attribute_only_names_is_refused_where_the_workers_do_not_see_it() -> None:
    options = htcondor_options("dask@infn-af", container_runtime="site")
    with pytest.raises(OptionsError, match=r"worker-image: '/home/p/my.sif' is a file of this machine that the wor"):
        submit_description(a_submission(image="/home/p/my.sif", image_travels=True), options)


def test_a_comma_in_a_file_that_travels_is_refused() -> None:
    with pytest.raises(OptionsError, match="transfer-files: '/a/b,c' holds a comma"):
        submit_description(a_submission(files=(Path("/a/b,c"),)), htcondor_options())


def _described(lines: str) -> dict[str, str]:
    return dict(line.split(" = ", 1) for line in lines.splitlines() if " = " in line)


def test_a_setting_of_htcondor_is_added_overridden_or_taken_away_whatever_its_case() -> None:
    changes = {"+PocketExecNote": '"x"', "REQUEST_DISK": None, "request_memory": "1", "log": None, "nice_user": True}
    options = htcondor_options().model_copy(update={"htcondor_settings": changes})
    usual = _described(submit_description(a_submission(), htcondor_options()))
    lines = _described(submit_description(a_submission(), options))
    assert set(usual) - set(lines) == {"request_disk", "log", "job_max_vacate_time"}
    assert set(lines) - set(usual) == {"MY.PocketExecNote", "nice_user"}
    assert (lines["request_memory"], lines["nice_user"]) == ("1", "True")


def test_a_setting_of_slurm_is_added_overridden_or_taken_away() -> None:
    changes = {"qos": "high", "mem": None, "cpus-per-task": "5", "no-requeue": False, "exclusive": True}
    options = slurm_options().model_copy(update={"slurm_settings": changes})
    lines = batch_script(a_submission(resources=Resources(1, GB, walltime_s=60)), options).splitlines()
    assert {"#SBATCH --qos=high", "#SBATCH --cpus-per-task=5", "#SBATCH --exclusive"} <= set(lines)
    assert not [line for line in lines if "--mem" in line or "requeue" in line]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"queue": "3"}, "htcondor-settings.queue: cannot be set here: each worker is one job"),
        ({"Executable": "x"}, "htcondor-settings.Executable: cannot be set here: the script is this project's own"),
        ({"+PocketExecRun": "x"}, "cannot be set here: jobs are found again by it"),
        ({"max_idle": "3"}, "htcondor-settings.max_idle: cannot be set here"),
        ({"a=b": "3"}, "is not the name of a line of a submit description"),
        ({"queue 5": "3"}, "htcondor-settings.queue 5: is not the name of a line of a submit description"),
        ({"include : /etc/x": "3"}, "is not the name of a line of a submit description"),
        ({"+ Note": "3"}, "is not the name of a line of a submit description"),
        ({"$(x)": "3"}, "is not the name of a line of a submit description"),
        ({" ": "3"}, "is not the name of a line of a submit description"),
        ({"x": "1\nqueue 100"}, "holds a line break; write it in one line"),
        ({"x": "C:\\"}, "htcondor-settings.x: 'C:\\\\' ends in a backslash, and HTCondor would take the next line"),
        ({"x": "1 \\ "}, "ends in a backslash"),
        ({"+jobflavour": '"workday"'}, "htcondor-settings.+jobflavour: cannot be set here: write queue, which tells"),
        ({"MY.MaxRuntime": "7200"}, "cannot be set here: write walltime, which tells the workers when to leave, too"),
    ],
)
def test_settings_that_would_break_a_submission_to_htcondor_are_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(OptionsError) as caught:
        HTCondor.from_options(htcondor_options("dask@lxplus", htcondor_settings=settings))
    assert said in str(caught.value)


def test_the_line_of_the_time_may_be_taken_away_and_any_is_free_where_the_pool_knows_none() -> None:
    HTCondor.from_options(htcondor_options("dask@lxplus", htcondor_settings={"+JobFlavour": None}))
    HTCondor.from_options(htcondor_options(htcondor_settings={"+JobFlavour": '"workday"'}))
    Slurm.from_options(slurm_options(slurm_settings={"time": None}))
    Slurm.from_options(slurm_options(slurm_settings={"time": False}))


def test_requirements_that_end_in_a_backslash_are_refused() -> None:
    with pytest.raises(OptionsError, match=r"requirements: .* ends in a backslash"):
        submit_description(a_submission(), htcondor_options(requirements=["Memory > 1 \\"]))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"array": "0-5"}, "slurm-settings.array: cannot be set here: each worker is one element of the array"),
        ({"p": "x"}, "slurm-settings.p: is not the long name of an option of sbatch"),
        ({"--qos": "x"}, "slurm-settings.--qos: is not the long name"),
        ({"qos": "a\n#SBATCH --wrap=x"}, "holds a line break; write it in one line"),
        ({"time": "2:00:00"}, "slurm-settings.time: cannot be set here: write walltime, which tells the workers when"),
    ],
)
def test_settings_that_would_break_a_submission_to_slurm_are_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(OptionsError) as caught:
        Slurm.from_options(slurm_options(slurm_settings=settings))
    assert said in str(caught.value)


def test_all_faults_of_a_batch_system_are_told_at_once() -> None:
    options = htcondor_options("dask@lxplus", htcondor_settings={"queue": "3", "a=b": "c"})
    with pytest.raises(OptionsError) as caught:
        HTCondor.from_options(options)
    assert "htcondor-settings.queue" in str(caught.value)
    assert "htcondor-settings.a=b: is not the name of a line" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"files": (Path("/a"),)}, "shared-filesystem: is false, and slurm transfers no files"),
        ({"image": "/a"}, "container-runtime: is 'site', and slurm starts no images by itself"),
    ],
)
def test_what_slurm_does_not_do_is_said(changes: dict[str, Any], said: str) -> None:
    submission = a_submission(**changes)
    [fault] = Slurm.from_options(slurm_options()).cannot(submission)
    assert str(fault).startswith(said)
    assert not [*HTCondor.from_options(htcondor_options()).cannot(submission)]


def test_a_backslash_in_the_log_directory_is_refused_by_slurm_alone() -> None:
    submission = a_submission(log_directory=Path("/a\\b/logs"))
    with pytest.raises(OptionsError, match=r"log-directory: .*holds a backslash"):
        batch_script(submission, slurm_options())
    assert "output = /a\\b/logs/" in submit_description(submission, htcondor_options())
    assert '--chdir="/a\\\\b"' in batch_script(a_submission(directory=Path("/a\\b/private")), slurm_options())


def test_a_walltime_alone_finds_the_shortest_flavour_where_the_pool_has_no_attribute_for_it() -> None:
    options = htcondor_options("dask@lxplus", queue=None, walltime="90m", walltime_attribute=None)
    resources = Resources(1, GB, walltime_s=5400)
    assert _described(submit_description(a_submission(resources=resources), options))["MY.JobFlavour"] == '"longlunch"'
