"""An image value becomes one image for the whole run, or a fault that says what there is instead."""

from __future__ import annotations

import importlib.metadata
import logging
import sys
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from pocket_exec.errors import ExecutorError
from pocket_exec.worker.image import Image, resolve_image
from pocket_exec.worker.unpacked import UnpackedName
from tests.unit.worker.worker_options import batch_options

COFFEA = importlib.metadata.version("coffea")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
DIGEST = "0ab7056111caa7ef"
HUB = "registry.hub.docker.com"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory of unpacked images, as unpacked.cern.ch lays them out, without any."""
    (tmp_path / "unpacked").mkdir()
    return tmp_path / "unpacked"


def unpack(root: Path, name: str, digest: str = DIGEST) -> Path:
    flat = root / ".flat" / digest[:2] / digest
    (flat / "bin").mkdir(parents=True, exist_ok=True)
    link = root / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("../" * (len(Path(name).parts) - 1) + f".flat/{digest[:2]}/{digest}")
    return flat


def resolved(
    root: Path | None, text: str | None, environ: dict[str, str] | None = None, **options: Any
) -> Image | None:
    given = batch_options(worker_image=text, unpacked_directory=str(root) if root else None, **options)
    return resolve_image(given, environ=environ or {})


def refused(root: Path | None, text: str, **options: Any) -> str:
    with pytest.raises(ExecutorError) as raised:
        resolved(root, text, **options)
    return str(raised.value)


def test_no_image_is_none(root: Path) -> None:
    assert resolved(root, None) is None
    assert resolved(root, "a/b:c", container_runtime="none") is None


@pytest.mark.parametrize(
    "text",
    [
        "gitlab-registry.cern.ch/cms/general/ana:el9",
        "docker://gitlab-registry.cern.ch/cms/general/ana:el9",
        "{root}/gitlab-registry.cern.ch/cms/general/ana:el9",
    ],
)
def test_an_unpacked_image_is_pinned_whatever_it_is_called_by(text: str, root: Path) -> None:
    flat = unpack(root, "gitlab-registry.cern.ch/cms/general/ana:el9")
    image = resolved(root, text.format(root=root))
    assert image is not None
    assert (image.reference, image.digest, image.is_path, image.file) == (str(flat), DIGEST, True, None)
    assert image.text == text.format(root=root)
    assert image.dated is not None
    assert image.dated.tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["a/b:c", "docker.io/a/b:c", "docker://index.docker.io/a/b:c", f"docker://{HUB}/a/b:c"]
)
def test_docker_hub_has_one_place_under_all_its_names(text: str, root: Path) -> None:
    flat = unpack(root, f"{HUB}/a/b:c")
    assert (resolved(root, text) or Image("", "")).reference == str(flat)


def test_a_tag_that_moves_during_the_run_changes_nothing(root: Path) -> None:
    before = unpack(root, f"{HUB}/a/b:c")
    image = resolved(root, "a/b:c")
    (root / HUB / "a" / "b:c").unlink()
    unpack(root, f"{HUB}/a/b:c", "1b" * 8)
    assert image is not None
    assert image.reference == str(before)


def test_links_above_the_tag_stay_as_the_worker_may_have_only_them(root: Path, tmp_path: Path) -> None:
    unpack(root, f"{HUB}/a/b:c")
    (tmp_path / "cvmfs").symlink_to(root)
    image = resolved(tmp_path / "cvmfs", "a/b:c")
    assert image is not None
    assert image.reference == f"{tmp_path}/cvmfs/.flat/{DIGEST[:2]}/{DIGEST}"


def test_an_image_that_is_not_unpacked_is_refused_with_the_nearest_and_the_recipe_line(root: Path) -> None:
    unpack(root, "gitlab-registry.cern.ch/cms/ana:el9-stable")
    told = refused(root, "docker://gitlab-registry.cern.ch/cms/ana:el9-latest")
    assert f"the nearest there: {root}/gitlab-registry.cern.ch/cms/ana:el9-stable" in told
    assert "- 'https://gitlab-registry.cern.ch/cms/ana:el9-latest'" in told
    assert "set unpacked-directory: null" in told


def test_a_name_with_a_wrong_folder_finds_the_image_beside_it(root: Path) -> None:
    unpack(root, "gitlab-registry.cern.ch/farm/images:other-python")
    assert "/farm/images:other-python" in refused(root, "gitlab-registry.cern.ch/farm/images/other-python")


def test_a_wrong_path_is_refused_with_the_nearest_one(root: Path) -> None:
    unpack(root, f"{HUB}/a/b:2026.9")
    told = refused(root, f"{root}/{HUB}/a/b:2026.8")
    assert f"no such file or directory; did you mean {root}/{HUB}/a/b:2026.9?" in told


def test_a_directory_that_is_no_image_is_refused(tmp_path: Path) -> None:
    assert "a directory, but no image: it has neither bin nor usr" in refused(None, str(tmp_path))


def test_an_image_in_one_file_travels_where_nothing_is_shared(tmp_path: Path, hostile: str) -> None:
    file = tmp_path / f"{hostile}.sif"
    file.touch()
    shared, alone = (resolved(None, str(file), shared_filesystem=shared) for shared in (True, False))
    assert shared is not None
    assert alone is not None
    assert (shared.reference, shared.file, shared.is_path) == (str(file), None, True)
    assert alone.file == file


def test_a_file_is_found_from_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.sif").touch()
    monkeypatch.chdir(tmp_path)
    assert (resolved(None, "my.sif") or Image("", "")).reference == str(tmp_path / "my.sif")


def test_without_a_place_for_unpacked_images_each_worker_fetches_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    image = resolved(None, "docker://a/b:c", scaleout=50)
    assert image is not None
    assert (image.reference, image.is_path, image.digest) == ("docker://docker.io/a/b:c", False, None)
    assert "each of 50 workers fetches it over the network" in caplog.text


@pytest.mark.parametrize("lenient", [False, True])
def test_where_the_place_for_unpacked_images_is_not_mounted_each_worker_fetches_and_that_is_said(
    lenient: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"docker://{HUB}/coffeateam/coffea-dask-almalinux9:{COFFEA}-py{PYTHON}"
    options = batch_options(worker_image=name, unpacked_directory=str(tmp_path / "cvmfs"), scaleout=50)
    image = resolve_image(options, lenient=lenient, environ={})
    assert image is not None
    reference = f"docker://docker.io/coffeateam/coffea-dask-almalinux9:{COFFEA}-py{PYTHON}"
    assert (image.reference, image.is_path, image.digest) == (reference, False, None)
    why = f"for there is no {tmp_path / 'cvmfs'} here"
    assert caplog.messages == [f"{reference} is not unpacked, {why}: each of 50 workers fetches it over the network"]


def test_other_registries_of_the_runtimes_are_passed_on(root: Path) -> None:
    image = resolved(root, "oras://ghcr.io/a/b:c")
    assert image is not None
    assert image.reference == "oras://ghcr.io/a/b:c"


def test_an_unknown_way_to_name_an_image_is_refused(root: Path) -> None:
    assert "'dcoker' is no way to name an image" in refused(root, "dcoker://a/b:c")


def test_auto_is_the_image_that_the_run_is_started_in(root: Path) -> None:
    flat = unpack(root, f"{HUB}/a/b:c")
    for variable in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        image = resolved(root, "auto", {variable: f"{root}/{HUB}/a/b:c"})
        assert image is not None
        assert (image.text, image.reference) == ("auto", str(flat))


def test_auto_trusts_the_runtime_where_its_image_cannot_be_seen_from_inside(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = resolved(root, "auto", {"APPTAINER_CONTAINER": "/cvmfs-of-elsewhere/image"})
    assert image is not None
    assert image.reference == "/cvmfs-of-elsewhere/image"
    assert "cannot be seen from inside it" in caplog.text


def test_auto_is_else_the_public_image_of_this_coffea(root: Path) -> None:
    unpack(root, f"{HUB}/coffeateam/coffea-base-almalinux8:{COFFEA}-py{PYTHON}", "2c" * 8)
    flat = unpack(root, f"{HUB}/coffeateam/coffea-dask-almalinux9:{COFFEA}-py{PYTHON}")
    unpack(root, f"{HUB}/coffeateam/coffea-dask-almalinux9:2020.1.0-py{PYTHON}", "3d" * 8)
    assert (resolved(root, "auto") or Image("", "")).reference == str(flat)


def test_auto_without_a_fitting_image_lists_the_nearest_the_right_python_first(root: Path) -> None:
    for tag in ("2020.1.0-py3.8", f"2020.1.0-py{PYTHON}", f"2021.1.0-py{PYTHON}", "latest"):
        unpack(root, f"{HUB}/coffeateam/coffea-dask-almalinux9:{tag}")
    told = refused(root, "auto")
    assert f"the public image of coffea {COFFEA} and Python {PYTHON} is not unpacked; the nearest there: " in told
    listed = [
        path.rpartition(":")[2] for path in told.partition("the nearest there: ")[2].partition(";")[0].split(", ")
    ]
    assert listed == [f"2021.1.0-py{PYTHON}", f"2020.1.0-py{PYTHON}", "2020.1.0-py3.8"]


def test_a_look_at_a_submission_goes_on_without_the_images(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    options = batch_options(worker_image="auto", unpacked_directory="/no/cvmfs")
    image = resolve_image(options, lenient=True, environ={})
    assert image is not None
    expected = f"/no/cvmfs/{HUB}/coffeateam/coffea-dask-almalinux9:{COFFEA}-py{PYTHON}"
    assert (image.text, image.reference, image.digest) == ("auto", expected, None)
    assert "there is none in /no/cvmfs" in caplog.text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("python", (HUB, "library/python", "latest")),
        ("localhost/a:b", ("localhost", "a", "b")),
        ("host:5000/a/b/c:d", ("host:5000", "a/b/c", "d")),
        ("ghcr.io/a/b", ("ghcr.io", "a/b", "latest")),
    ],
)
def test_names_are_read_as_docker_reads_them(text: str, name: tuple[str, str, str]) -> None:
    assert UnpackedName.parse(text) == UnpackedName(*name)
