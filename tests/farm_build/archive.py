"""Finds the machine's Debian archive: mirror, keyring and settings come from its apt configuration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.farm_build.layout import FarmFailedError
from tests.farm_build.steps import Steps

SUITE = "sid"
"""HTCondor and Apptainer are packaged together there only."""

_KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")


@dataclass(frozen=True)
class Archive:
    """A Debian archive, and how this machine reaches it."""

    uri: str
    keyring: Path
    settings: str
    """What apt is told on this machine about proxies, certificates and the age of lists, in apt's syntax."""
    environment: dict[str, str]
    apt: Path
    """A directory with apt's lists of ``SUITE``: the machine's own are left alone."""

    def command(self, *args: str) -> list[str]:
        """Return an apt command that works in ``apt``."""
        options = {
            "Dir::State": self.apt / "state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self.apt / "cache",
            "Dir::Etc::sourcelist": self.apt / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "APT::Sandbox::User": "root",
        }
        return [args[0], *(f"-o{key}={value}" for key, value in options.items()), *args[1:]]


def find_archive(directory: Path, steps: Steps) -> Archive:
    """Return the first archive of the machine's apt sources that has ``SUITE``; its lists go into ``directory``."""
    environment, settings = _settings()
    candidates = list(dict.fromkeys(_candidates()))
    failure = "there is none in /etc/apt"
    for uri, keyring in candidates:
        apt = directory / "apt"
        for part in ("state/lists/partial", "cache/archives/partial"):
            (apt / part).mkdir(parents=True, exist_ok=True)
        (apt / "sources.list").write_text(f"deb [signed-by={keyring}] {uri} {SUITE} main\n")
        archive = Archive(uri, keyring, settings, environment, apt)
        try:
            update = archive.command("apt-get", "update", "--error-on=any")
            steps.run(update, environment, shown=f"apt-get update, of {uri} {SUITE}")
        except FarmFailedError as error:
            failure = f"{error}".partition("\nWhat to try")[0]
        else:
            return archive
    raise FarmFailedError(
        f"no apt source of this machine is a Debian archive with {SUITE}: {failure}\n"
        "What to try: name a Debian mirror in POCKET_EXEC_FARM_MIRROR, or look at the proxies in apt's configuration"
    )


def _candidates() -> Iterator[tuple[str, Path]]:
    default = next((Path(path) for path in _KEYRINGS if Path(path).exists()), None)
    said = os.environ.get("POCKET_EXEC_FARM_MIRROR")
    if said and default is None:
        raise FarmFailedError("the package debian-archive-keyring is not on this machine")
    sources = [(said, None)] if said else list(_sources())
    for uri, keyring in sources:
        signed = keyring if keyring and keyring.exists() else default
        if uri and signed and "-security" not in uri:
            yield uri.rstrip("/"), signed


def _sources() -> Iterator[tuple[str, Path | None]]:
    """Read both formats of apt's sources: the address and the keyring of each."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for file in files:
        text = file.read_text() if file.is_file() else ""
        if file.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                keyring = re.search(r"(?mi)^Signed-By:\s*(/\S+)", stanza)
                for uris in re.findall(r"(?mi)^URIs:\s*(.+)$", stanza):
                    yield from ((uri, Path(keyring[1]) if keyring else None) for uri in uris.split())
        elif file.suffix == ".list":
            for options, uri in re.findall(r"(?m)^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)", text):
                keyring = re.search(r"signed-by=(/[^\s,]+)", options)
                yield uri, Path(keyring[1]) if keyring else None


def _settings() -> tuple[dict[str, str], str]:
    """Return the proxies as variables, and all that apt is told about acquiring, as text."""
    dumped = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    lines = [line for line in dumped.splitlines() if line.startswith("Acquire::") and "::IndexTargets" not in line]
    environment = {}
    for scheme in ("http", "https"):
        proxy = next(
            (line.split('"')[1] for line in lines if line.lower().startswith(f"acquire::{scheme}::proxy ")), ""
        )
        if proxy and proxy != "DIRECT":
            environment[f"{scheme}_proxy"] = proxy
    return environment, "\n".join(lines) + "\n"


def debootstrap(archive: Archive, directory: Path, steps: Steps) -> tuple[list[str], dict[str, str]]:
    """Return the command that makes a tree, and its environment: the machine's own, or the package's, unpacked."""
    if own := shutil.which("debootstrap"):
        return [own], {}
    target = directory / "debootstrap"
    target.mkdir()
    steps.run(archive.command("apt-get", "download", "debootstrap"), archive.environment, cwd=target)
    (package,) = target.glob("debootstrap_*.deb")
    steps.run(["dpkg-deb", "-x", package, target])
    share = target / "usr" / "share" / "debootstrap"
    return [f"{target}/usr/sbin/debootstrap"], {"DEBOOTSTRAP_DIR": f"{share}"}
