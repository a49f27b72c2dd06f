"""Builds container images laid out as on unpacked.cern.ch: one that fits the client, and some that do not."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from pathlib import Path

from tests.farm_build.client import Client
from tests.farm_build.steps import Steps

PYTHON = "opt/python"
LIBRARIES = "opt/python-libraries"
VENV = "opt/venv"
HUB = "registry.hub.docker.com/coffeateam/coffea-dask-almalinux9"
GITLAB = "gitlab-registry.cern.ch/farm/tests/images"

_DEFINITION = """Bootstrap: scratch
%environment
    export PATH={path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export LANG=C.UTF-8
"""
_SKELETON = (".singularity.d", ".exec", ".run", ".shell", ".test", "environment", "singularity")


def names(client: Client) -> dict[str, str]:
    """Return the images' names in the unpacked repository, by what they are for."""
    return {
        "fits": f"{HUB}:{client.versions['coffea']}-py{client.minor}",
        "without-python": f"{GITLAB}:without-python",
        "other-python": f"{GITLAB}:other-python",
        "other-distributed": f"{GITLAB}:other-distributed",
        "other-coffea": f"{GITLAB}:other-coffea",
    }


def build_images(target: Path, tree: Path, client: Client, steps: Steps) -> None:
    """Build the repository ``target/unpacked`` out of the packages' tree and the client's Python."""
    base, fits = target / "base", target / "fits"
    with steps.step("make the bare image"):
        steps.run(["cp", "--archive", tree / "base", base])
        shutil.rmtree(base / "dev")
        (base / "dev").mkdir()
        _skeleton(base, target, tree / "tree", steps)
    with steps.step(f"make the image with Python {client.minor}, coffea and dask"):
        steps.run(["cp", "--archive", "--link", base, fits])
        _python(fits, client, steps)
        for distribution in client.distributions:
            for file in distribution.files or ():
                _copy(Path(f"{distribution.locate_file(file)}"), client.prefix, fits / VENV)
        # What pip has not compiled would be compiled by every job; some files are templates and cannot be.
        compiled = f"/{VENV}/bin/python -m compileall -q -j0 /{PYTHON}/lib /{VENV}/lib || true"
        steps.chroot(fits, ["sh", "-c", compiled])
    with steps.step("make the images that do not fit"):
        wrong = _wrong(target, base, fits, tree / "tree", client, steps)
    for purpose, path in {"fits": fits, **wrong}.items():
        _publish(path, target / "unpacked", names(client)[purpose])
    shutil.rmtree(base)


def _skeleton(base: Path, work: Path, tree: Path, steps: Steps) -> None:
    """Give the image what Apptainer writes into each: HTCondor runs ``apptainer test`` before a job."""
    definition = tree / "tmp" / "farm.def"
    definition.write_text(_DEFINITION.format(path=f"/{VENV}/bin"))
    steps.chroot(tree, ["apptainer", "build", "--force", "--sandbox", "/tmp/farm.image", "/tmp/farm.def"])
    made = tree / "tmp" / "farm.image"
    steps.run(["cp", "--archive", *(made / name for name in _SKELETON), base])
    shutil.rmtree(made)
    definition.unlink()


def _python(image: Path, client: Client, steps: Steps) -> None:
    """Copy the client's Python and the libraries it lacks here, and make a virtual environment of it."""
    for path, inside in client.files():
        copy = image / PYTHON / inside
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    (image / LIBRARIES).mkdir()
    for library in client.libraries():
        if not list(image.glob(f"usr/lib/*/{library.name}")):
            shutil.copy2(library, image / LIBRARIES / library.name)
    configuration = image / "etc/ld.so.conf.d/python.conf"
    configuration.write_text(f"/{PYTHON}/lib\n/{LIBRARIES}\n")
    # A hard link to the bare image's would be written through.
    (image / "etc/ld.so.cache").unlink(missing_ok=True)
    steps.chroot(image, ["ldconfig"])
    steps.chroot(image, [f"/{PYTHON}/bin/python{client.minor}", "-m", "venv", "--without-pip", f"/{VENV}"])


def _copy(path: Path, prefix: Path, venv: Path) -> None:
    """Copy one installed file; a console script begins with the path of its Python."""
    path = Path(os.path.normpath(path))
    if not path.is_file() or not path.is_relative_to(prefix):
        return
    copy = venv / path.relative_to(prefix)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, copy)
    if path.parent == prefix / "bin":
        text = re.sub(rb"\A#!.*", b"#!/" + VENV.encode() + b"/bin/python", path.read_bytes(), count=1)
        copy.write_bytes(text)


def _wrong(target: Path, base: Path, fits: Path, tree: Path, client: Client, steps: Steps) -> dict[str, Path]:
    """Make the images that must be refused; they share all files but a few with the right one."""
    made = {name: target / name for name in names(client) if name != "fits"}
    for name, path in made.items():
        source = fits if name in ("other-distributed", "other-coffea") else base
        steps.run(["cp", "--archive", "--link", source, path])
    packages = next((made["other-coffea"] / VENV / "lib").glob("python*/site-packages"))
    for name in ("distributed", "coffea"):
        _pretend(made[f"other-{name}"] / packages.relative_to(made["other-coffea"]), name, client.versions[name])
    other = made["other-python"]
    library = max((tree / "usr/lib").glob("python3.*/os.py")).parent
    steps.run(["cp", "--archive", "--link", library, other / "usr/lib"])
    for directory in (tree / "usr/lib").glob("*-linux-gnu*"):
        libraries = (
            path
            for path in directory.glob("lib*.so.*")
            if not (other / "usr/lib" / directory.name / path.name).exists()
        )
        steps.run(["cp", "--archive", "--link", *libraries, other / "usr/lib" / directory.name])
    shutil.copy2(tree / "usr/bin" / library.name, other / "usr/bin")
    (other / VENV / "bin").mkdir(parents=True)
    for name in ("python", "python3"):
        (other / VENV / "bin" / name).symlink_to(f"/usr/bin/{library.name}")
    return made


def _pretend(packages: Path, name: str, version: str) -> None:
    """Change the version that a distribution says it has, in files of its own."""
    other = f"{int(version.partition('.')[0]) - 1}.1.0"
    (information,) = packages.glob(f"{name}-*.dist-info")
    for file in (information / "METADATA", packages / name / "_version.py"):
        text = file.read_text().replace(version, other)
        file.unlink()
        file.write_text(text)
        for compiled in file.parent.glob(f"__pycache__/{file.stem}.*"):
            compiled.unlink()
    information.rename(packages / f"{name}-{other}.dist-info")


def _publish(image: Path, repository: Path, name: str) -> None:
    """Move an image to where unpacked.cern.ch keeps it, and link its name to it.

    The link is relative: one ``../`` for each directory of the name.
    """
    content = hashlib.sha256(f"{name} {time.time_ns()}".encode()).hexdigest()
    flat = repository / ".flat" / content[:2] / content
    flat.parent.mkdir(parents=True, exist_ok=True)
    image.rename(flat)
    link = repository / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(Path(*[".."] * name.count("/")) / flat.relative_to(repository))
