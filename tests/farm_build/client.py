"""Describes the client's Python: the one that runs this, its libraries and the distributions that an image needs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

_IMAGE_HAS = "coffea[dask]"
"""What the public coffea images are made for; this project is not in them."""

_GLIBC = re.compile(r"(linux-vdso|ld-linux|lib(c|m|dl|rt|util|pthread|resolv|nss_\w+))\b")
_NOT_NEEDED = re.compile(
    r"lib/python3\.\d+/(site-packages|dist-packages|(.*/)?tests?|idlelib|tkinter|config-[^/]*)/|\.a$"
)


@dataclass(frozen=True)
class Client:
    """A virtual environment and the Python that it was made of."""

    prefix: Path
    base_prefix: Path
    minor: str
    """``3.11``."""

    @cached_property
    def distributions(self) -> list[metadata.Distribution]:
        """All that coffea with Dask needs."""
        found: dict[str, metadata.Distribution] = {}
        todo, seen = [_IMAGE_HAS], set()
        while todo:
            requirement = Requirement(todo.pop())
            key = (_canonical(requirement.name), *sorted(requirement.extras))
            if key in seen:
                continue
            seen.add(key)
            distribution = metadata.distribution(requirement.name)
            found[key[0]] = distribution
            for line in distribution.requires or ():
                needed = Requirement(line)
                extras = requirement.extras or {""}
                if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                    needed.marker = None
                    todo.append(f"{needed}")
        return [found[name] for name in sorted(found)]

    @property
    def versions(self) -> dict[str, str]:
        """The version of each distribution."""
        return {_canonical(each.metadata["Name"]): each.version for each in self.distributions}

    @property
    def python(self) -> Path:
        """The program at the end of all links."""
        return (self.prefix / "bin" / "python").resolve()

    def binds(self) -> list[Path]:
        """Return what has to be seen inside at its own path."""
        if self.base_prefix != Path("/usr"):
            return [self.prefix, self.base_prefix]
        links = [self.prefix / "bin" / "python"]
        while links[-1].is_symlink():
            links.append(links[-1].parent / links[-1].readlink())
        return [self.prefix, *(link for link in links if not link.is_relative_to(self.prefix)), self._library]

    def files(self) -> Iterator[tuple[Path, str]]:
        """Yield the files of the base Python and where they belong below another prefix."""
        for directory in (self._library, self.base_prefix / "lib"):
            for path in sorted(directory.rglob("*") if directory == self._library else directory.glob("libpython*")):
                inside = f"{path.relative_to(self.base_prefix)}"
                if not path.is_dir() and not _NOT_NEEDED.search(inside):
                    yield path, inside
        yield self.python, f"bin/python{self.minor}"

    def libraries(self) -> Iterator[Path]:
        """Yield the machine's libraries that Python and its modules load, glibc's own excepted."""
        programs = [f"{self.python}", *(f"{path}" for path in (self._library / "lib-dynload").glob("*.so"))]
        programs = [path for path in programs if "_tkinter" not in path]
        listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
        for name, path in sorted(set(re.findall(r"^\s*(\S+) => (/\S+)", listed, re.MULTILINE))):
            own = self.base_prefix != Path("/usr") and Path(path).is_relative_to(self.base_prefix)
            if not own and not _GLIBC.match(name):
                yield Path(path)

    @property
    def _library(self) -> Path:
        return self.base_prefix / "lib" / f"python{self.minor}"


def client() -> Client:
    """Describe the Python that runs this."""
    minor = "{}.{}".format(*sys.version_info[:2])
    return Client(Path(sys.prefix), Path(sys.base_prefix).resolve(), minor)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
