"""Worker scripts are pinned whole; what no script can carry is refused.

``POCKET_EXEC_WRITE_GOLDEN=1`` writes the files anew, to be looked at before they are kept.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from pocket_exec.errors import ExecutorError
from pocket_exec.worker.container import registry_login
from pocket_exec.worker.environment import ClientPython, private_environment
from pocket_exec.worker.script import job_script
from tests.unit.worker.golden_scripts import FLAT, FOLDER, STARTS
from tests.unit.worker.worker_options import batch_options, run_files, started


@pytest.mark.parametrize("name", STARTS)
def test_a_worker_script_is_this(name: str) -> None:
    text = job_script(STARTS[name]())
    golden = FOLDER / f"{name}.sh"
    if os.environ.get("POCKET_EXEC_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_every_golden_script_has_its_start() -> None:
    assert {path.stem for path in FOLDER.glob("*.sh")} == set(STARTS)


def test_no_secret_stands_in_a_script() -> None:
    options = batch_options(tokenuser="robot", tokenpassword="hunter2", pass_environment=["HOME"])
    assert "hunter2" not in job_script(started(options, FLAT))


@pytest.mark.parametrize(
    "changes",
    [{"files": run_files("/a\nb")}, {"output_directory": "/out\r"}, {"cfg_directory": "/c\x1b"}, {"proxy": "/p\nq"}],
    ids=["files", "output", "cfg", "proxy"],
)
def test_a_line_break_in_a_path_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ExecutorError, match="holds a line break or control character"):
        job_script(started(batch_options(), FLAT, **changes))


def test_what_may_be_a_secret_is_not_told() -> None:
    with pytest.raises(ExecutorError, match="the value of KEY holds a line break or control character; "):
        private_environment(batch_options(pass_environment=["KEY"]), {"KEY": "-----BEGIN\nhunter2"})
    with pytest.raises(ExecutorError, match="tokenuser or tokenpassword holds a line break or control character; "):
        registry_login(batch_options(tokenuser="robot", tokenpassword="hunter2\n"))


def test_a_variable_that_bash_cannot_have_is_refused() -> None:
    with pytest.raises(ExecutorError, match=r"env: 'A B' cannot be the name of a variable"):
        job_script(started(batch_options(env={"A B": "1"})))


def test_host_setup_commands_need_an_image_that_the_script_enters() -> None:
    options = batch_options(container_runtime="site", host_setup_commands=["module load x"])
    with pytest.raises(ExecutorError, match="host-setup-commands cannot run before the image is entered"):
        started(options, FLAT)


@pytest.mark.parametrize("runtime", ["docker", "podman", "udocker"])
def test_a_runtime_that_is_not_there_yet_is_refused_with_those_that_are(runtime: str) -> None:
    with pytest.raises(ExecutorError, match=f"{runtime} is not supported yet; use apptainer or singularity"):
        started(batch_options(container_runtime=runtime))


def test_a_virtual_environment_that_the_run_is_not_in_is_refused() -> None:
    with pytest.raises(ExecutorError, match="is not in a virtual environment; activate one"):
        started(batch_options(local_virtualenv=True), client=ClientPython("/usr/bin/python3", "/usr", "/usr"))


def test_a_conda_environment_that_the_run_is_not_in_is_refused() -> None:
    with pytest.raises(ExecutorError, match="is not in a conda, mamba or micromamba environment"):
        started(batch_options(conda_env=True), client=ClientPython("/usr/bin/python3", "/usr", "/usr"))


@pytest.mark.parametrize(
    ("changes", "image", "python"),
    [
        ({}, None, ("/usr/bin/python3",)),
        ({}, FLAT, ()),
        ({"executable": ["python3.12", "-X", "dev"]}, FLAT, ("python3.12", "-X", "dev")),
        ({"executable": ["python3.12"], "local_virtualenv": True}, None, ("python3.12",)),
        ({"local_virtualenv": True}, FLAT, ("/v/bin/python",)),
        ({"container_runtime": "none"}, None, ("/usr/bin/python3",)),
    ],
)
def test_the_python_is_the_named_one_else_the_environments_else_the_images_else_this_process_own(
    changes: dict[str, Any], image: str | None, python: tuple[str, ...]
) -> None:
    prefix = "/v" if "local_virtualenv" in changes else "/usr"
    client = ClientPython("/usr/bin/python3", prefix, "/usr")
    assert started(batch_options(**changes), image, client=client).python == python


def test_a_mount_of_the_runs_own_below_one_of_the_users_is_left_out() -> None:
    container = started(batch_options(mounts={"/work": "/work", "/data": "/elsewhere"}), FLAT).container
    assert container is not None
    assert [mount.source for mount in container.mounts] == ["/work", "/data"]


def test_the_base_of_a_virtual_environment_is_mounted_unless_it_is_the_systems() -> None:
    for base, mounted in (("/opt/python", True), ("/usr", False), ("/usr/local", False)):
        client = ClientPython("/v/bin/python", "/v", base)
        container = started(batch_options(local_virtualenv=True), FLAT, client=client).container
        assert container is not None
        assert (base in {mount.source for mount in container.mounts}) is mounted
