"""Images that are unpacked on a file system of their own, as on unpacked.cern.ch, and the names that they have there.

An image ``<registry>/<namespace>/<name>:<tag>`` is a symbolic link of that name, below the directory, to
``.flat/<xx>/<digest>`` (https://github.com/cvmfs/cvmfs, documentation of its container images).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

DOCKER_HUB = "registry.hub.docker.com"
"""What Docker Hub is called on unpacked.cern.ch."""
_HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com", DOCKER_HUB}
NAMESPACE = "coffeateam"
FLAVOURS = ("coffea-dask-almalinux9", "coffea-dask-almalinux8", "coffea-base-almalinux9", "coffea-base-almalinux8")
"""Public coffea images, the preferred one first."""
_TAG = re.compile(r"v?(\d+(?:\.\d+)*)\S*?-py(\d+\.\d+)")
_SHOWN = 5


@dataclass(frozen=True)
class UnpackedName:
    """An image's name in full."""

    registry: str
    repository: str
    """``namespace/name``, of any number of parts."""
    tag: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``registry/namespace/name:tag``; without a registry it is Docker Hub's, without a tag ``latest``.

        >>> UnpackedName.parse("python:3.12")
        UnpackedName(registry='registry.hub.docker.com', repository='library/python', tag='3.12')
        """
        head, _, rest = text.partition("/")
        has_registry = bool(rest) and ("." in head or ":" in head or head == "localhost")
        registry, name = (head, rest) if has_registry else (DOCKER_HUB, text)
        registry = DOCKER_HUB if registry in _HUB_NAMES else registry
        repository, colon, tag = name.rpartition(":")
        if not colon:
            repository, tag = name, "latest"
        if registry == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        return cls(registry, repository, tag)

    @classmethod
    def usual(cls, coffea: str, python: str) -> Self:
        """Return the name of the preferred public image of a coffea and a Python version."""
        return cls(DOCKER_HUB, f"{NAMESPACE}/{FLAVOURS[0]}", f"{coffea}-py{python}")

    @property
    def docker(self) -> str:
        """The name as a registry takes it."""
        registry = "docker.io" if self.registry == DOCKER_HUB else self.registry
        return f"{registry}/{self.repository}:{self.tag}"

    @property
    def recipe(self) -> str:
        """The line of the recipe (``recipe.yaml`` of the repository unpacked/sync) that unpacks it."""
        return f"- 'https://{self.registry}/{self.repository}:{self.tag}'"


@dataclass(frozen=True)
class Unpacked:
    """The directory of unpacked images."""

    root: Path

    def path(self, name: UnpackedName) -> Path:
        """Return where an image is, if it is there."""
        return self.root / name.registry / f"{name.repository}:{name.tag}"

    def near(self, name: UnpackedName) -> list[str]:
        """Return the paths of images there whose names are like ``name``."""
        return near(self.path(name))

    def public(self, coffea: str, python: str) -> UnpackedName | None:
        """Return the public coffea image of exactly these versions, if there is one."""
        here = [image for image in self._public() if image.python == python and image.coffea == _numbers(coffea)]
        best = min(here, key=lambda image: (_preference(image.flavour), len(image.tag), image.tag), default=None)
        return None if best is None else UnpackedName(DOCKER_HUB, f"{NAMESPACE}/{best.flavour}", best.tag)

    def nearest_public(self, coffea: str, python: str) -> list[str]:
        """Return the paths of public images of about these versions, those with this Python first."""
        wanted = _numbers(coffea)
        found = sorted(
            self._public(),
            key=lambda image: (image.python != python, _distance(image.coffea, wanted), _preference(image.flavour)),
        )
        names = (UnpackedName(DOCKER_HUB, f"{NAMESPACE}/{image.flavour}", image.tag) for image in found[:_SHOWN])
        return [str(self.path(name)) for name in names]

    def _public(self) -> Iterator[_PublicImage]:
        for entry in _names_in(self.root / DOCKER_HUB / NAMESPACE):
            flavour, _, tag = entry.partition(":")
            match = _TAG.fullmatch(tag)
            if match is not None and flavour.startswith("coffea"):
                yield _PublicImage(flavour, tag, _numbers(match[1]), match[2])


@dataclass(frozen=True)
class _PublicImage:
    flavour: str
    tag: str
    coffea: tuple[int, ...]
    python: str


def near(path: Path) -> list[str]:
    """Return what there is like ``path``: in its directory, or in the first one above it that is there."""
    directory = next((parent for parent in path.parents if parent.is_dir()), path.parent)
    wanted = str(path.relative_to(directory))
    found = difflib.get_close_matches(wanted, _names_in(directory), n=_SHOWN, cutoff=0.6)
    return [str(directory / name) for name in found]


def _names_in(directory: Path) -> list[str]:
    try:
        return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _numbers(version: str) -> tuple[int, ...]:
    """Return the release of a version; ``2026.9`` and ``2026.9.0`` are one."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:3]]
    return tuple([*numbers, 0, 0, 0][:3])


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(abs(a - b) for a, b in zip(one, other, strict=True))


def _preference(flavour: str) -> int:
    return FLAVOURS.index(flavour) if flavour in FLAVOURS else len(FLAVOURS)
