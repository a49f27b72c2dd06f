"""Turns one image value of the options into the image that all workers of a run get, pinned by its digest."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pocket_exec.errors import ExecutorError
from pocket_exec.options.batch import BatchOptions
from pocket_exec.worker.container import own_runtime
from pocket_exec.worker.unpacked import Unpacked, UnpackedName, near

log = logging.getLogger(__name__)

ENTERED = ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER")
"""Variables in which the runtimes tell a process what image it is in."""
_FILE_SUFFIXES = (".sif", ".simg", ".sqsh", ".img")
_FETCHED = ("docker", "oras", "shub", "library", "https", "http")


@dataclass(frozen=True)
class Image:
    """The image of a run's workers."""

    text: str
    """As it was asked for."""
    reference: str
    """What the runtime or the batch system gets: an absolute path (pinned), or ``docker://registry/name:tag``."""
    digest: str | None = None
    """Name of the unpacked image's content; None where the image does not say."""
    dated: datetime | None = None
    """When it was unpacked or written."""
    file: Path | None = None
    """An image in one file on this machine that has to travel to workers that do not share its file system."""

    @property
    def is_path(self) -> bool:
        """Whether it is a file or directory, rather than something that each worker fetches."""
        return "://" not in self.reference


def resolve_image(
    options: BatchOptions, *, lenient: bool = False, environ: Mapping[str, str] = os.environ
) -> Image | None:
    """Return the image that the options name, or None without one.

    ``lenient`` warns of what would be refused, for a look at a submission on a machine that does not see the images.

    Raises:
        ExecutorError: there is no such image, with the nearest ones and what makes it available; or a runtime that is
            not supported.
    """
    own_runtime(options)
    if options.worker_image is None or options.container_runtime == "none":
        return None
    text = options.worker_image
    search = _Search(options, Unpacked(Path(options.unpacked_directory)) if options.unpacked_directory else None)
    try:
        image = search.automatic(environ) if text == "auto" else search.named(text)
    except _NotFoundError as missing:
        if not lenient:
            raise ExecutorError(f"worker-image {text}: {missing}") from None
        log.warning("worker-image %s: %s", text, missing)
        image = Image(text, missing.reference)
    if image.dated is not None:
        log.info("image %s of %s", image.reference, f"{image.dated:%Y-%m-%d}")
    return replace(image, text=text)


class _NotFoundError(Exception):
    """An image that is not there; ``reference`` is what it would be."""

    def __init__(self, text: str, reference: str) -> None:
        super().__init__(text)
        self.reference = reference


@dataclass(frozen=True)
class _Search:
    options: BatchOptions
    unpacked: Unpacked | None

    def automatic(self, environ: Mapping[str, str]) -> Image:
        """Return the image that this process is in, else the public one of its coffea."""
        inside = next((environ[name] for name in ENTERED if environ.get(name)), None)
        if inside is not None:
            return self._entered(inside)
        return self._public()

    def named(self, text: str) -> Image:
        """Return the image of a path or name."""
        scheme, separator, rest = text.partition("://")
        if separator and scheme not in _FETCHED:
            raise _NotFoundError(f"'{scheme}' is no way to name an image; write docker://registry/name:tag", text)
        if separator and scheme != "docker":
            return self._fetched(text)
        if not separator and (text.startswith(("/", "./", "../", "~")) or text.endswith(_FILE_SUFFIXES)):
            return self._path(Path(text).expanduser())
        return self._by_name(UnpackedName.parse(rest if separator else text))

    def _entered(self, inside: str) -> Image:
        path = Path(inside)
        if "://" in inside or path.exists():
            return self.named(inside)
        # The runtime's own word; the file system that it lies on need not be mounted in here.
        log.warning("the image that this run is started in, %s, cannot be seen from inside it: not checked", inside)
        return Image(inside, inside)

    def _public(self) -> Image:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        coffea = importlib.metadata.version("coffea")
        wanted = f"the public image of coffea {coffea} and Python {python}"
        if self.unpacked is None:
            raise _NotFoundError(f"{wanted} is looked for in unpacked-directory, which is null; name an image", "auto")
        name = self.unpacked.public(coffea, python)
        if name is not None:
            return self._pinned(self.unpacked.path(name))
        usual = self.unpacked.path(UnpackedName.usual(coffea, python))
        like = self.unpacked.nearest_public(coffea, python)
        there = f"; the nearest there: {', '.join(like)}" if like else f"; there is none in {usual.parent}"
        raise _NotFoundError(
            f"{wanted} is not unpacked{there}; name one with worker-image, and run inside it", str(usual)
        )

    def _by_name(self, name: UnpackedName) -> Image:
        if self.unpacked is None:
            return self._fetched(f"docker://{name.docker}")
        if not self.unpacked.root.is_dir():
            return self._fetched(f"docker://{name.docker}", f", for there is no {self.unpacked.root} here")
        path = self.unpacked.path(name)
        if path.exists():
            return self._pinned(path)
        like = self.unpacked.near(name)
        hint = f"; the nearest there: {', '.join(like)}" if like else ""
        raise _NotFoundError(
            f"not unpacked as {path}{hint}\n"
            f"  To have it unpacked, add this line to the recipe of the unpacked images: {name.recipe}\n"
            "  To let each worker fetch it, set unpacked-directory: null",
            str(path),
        )

    def _path(self, given: Path) -> Image:
        path = Path(os.path.abspath(given))
        if not path.exists():
            like = near(path)
            hint = f"; did you mean {' or '.join(like)}?" if like else ""
            raise _NotFoundError(f"no such file or directory{hint}", str(path))
        if path.is_dir() and not any((path / part).exists() for part in ("bin", "usr")):
            raise _NotFoundError("a directory, but no image: it has neither bin nor usr", str(path))
        return self._pinned(path)

    def _pinned(self, path: Path) -> Image:
        """Follow the tag's symbolic link, so that a tag that is moved meanwhile changes nothing.

        Links further up are left: the worker may have only the path as it was written.
        """
        for _ in range(40):
            if not path.is_symlink():
                break
            path = Path(os.path.normpath(path.parent / path.readlink()))
        content, flat = path.parent, path.parent.parent
        digest = path.name if flat.name == ".flat" and path.name.startswith(content.name) else None
        dated = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        travels = path.is_file() and not path.is_relative_to("/cvmfs") and not self.options.shared_filesystem
        return Image(str(path), str(path), digest, dated, path if travels else None)

    def _fetched(self, reference: str, why: str = "") -> Image:
        log.warning(
            "%s is not unpacked%s: each of %d workers fetches it over the network",
            reference,
            why,
            self.options.scaleout,
        )
        return Image(reference, reference)
