"""Turns an image and its options into the words that start it, as lines of bash, for apptainer and singularity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from pocket_exec.errors import ExecutorError
from pocket_exec.options.batch import BatchOptions
from pocket_exec.worker.shell import quoted, quoted_file, quoted_with_user
from pocket_exec.worker.statuses import WorkerExit

OwnRuntime = Literal["auto", "apptainer", "singularity"]


@dataclass(frozen=True)
class Mount:
    """A directory or file of the worker's machine, and where the image sees it."""

    source: str
    destination: str


@dataclass(frozen=True)
class Container:
    """What the script starts the image with."""

    runtime: OwnRuntime
    image: str
    """As ``Image.reference``, or a file's base name in the job's directory."""
    is_path: bool = True
    """Whether ``image`` is a path, which can be missing."""
    binary: str | None = None
    mounts: tuple[Mount, ...] = ()
    local_directory: str | None = None
    """Where the worker keeps its files, ``$USER`` not yet filled in; made and mounted."""
    home: bool = False
    gpus: bool = False
    options: tuple[str, ...] = ()
    cache: str | None = None
    login: str | None = None
    """File with a deploy token, as the worker sees it."""


def own_runtime(options: BatchOptions) -> OwnRuntime | None:
    """Return the runtime that the script itself starts; None where the batch system does, or nothing does.

    Raises:
        ExecutorError: one that is not supported.
    """
    match options.container_runtime:
        case "auto" | "apptainer" | "singularity" as runtime:
            return runtime
        case "site" | "none":
            return None
        case "docker" | "podman" | "udocker" as runtime:
            raise ExecutorError(
                f"container-runtime: {runtime} is not supported yet; use apptainer or singularity (or auto), "
                "or site where the batch system starts images"
            )
        case other:
            assert_never(other)


def registry_login(options: BatchOptions) -> str | None:
    """Return the text of the file, for mode 0600, that gives the runtime the deploy token; None without one."""
    if options.tokenuser is None or options.tokenpassword is None:
        return None
    values = {"USERNAME": options.tokenuser, "PASSWORD": options.tokenpassword.get_secret_value()}
    return "".join(
        f"export {runtime}_DOCKER_{name}={quoted(value, secret='tokenuser or tokenpassword')}\n"
        for name, value in values.items()
        for runtime in ("APPTAINER", "SINGULARITY")
    )


def container_lines(container: Container) -> list[str]:
    """Return lines that end with the start's words in ``pocket_exec_words``, the runtime's name first.

    A mount whose source is missing on the worker's machine is left out, with a warning. ``--mount`` does not split on
    colons as ``--bind`` does; its fields are CSV (Apptainer's user guide, "Bind paths and mounts").
    """
    lines = _runtime_lines(container)
    if container.is_path:
        image = quoted_file(container.image)
        lines.append(
            f"[ -e {image} ] || pocket_exec_stop {WorkerExit.NO_IMAGE:d} "
            f"{quoted(f'no image {container.image} on this machine')}"
        )
    lines += ['pocket_exec_words=("$pocket_exec_runtime" exec)', *_MOUNT]
    for mount in container.mounts:
        lines.append(f"pocket_exec_mount {quoted(mount.source)} {quoted(mount.destination)}")
    if container.local_directory:
        name = quoted_with_user(container.local_directory)
        lines.append(f"mkdir -p {name} 2>/dev/null")
        lines.append(f"pocket_exec_mount {name} {name}")
    lines += _OWN_DIRECTORIES
    words = [] if container.home else ["--no-home"]
    words += ["--nv"] if container.gpus else []
    words += [*(quoted(option) for option in container.options), "--pwd", '"$pocket_exec_job"']
    words.append(quoted_file(container.image) if container.is_path else quoted(container.image))
    return [*lines, f"pocket_exec_words+=({' '.join(words)})"]


def _runtime_lines(container: Container) -> list[str]:
    lines = ["# Python's own variables of the machine mean nothing in the image.", "unset PYTHONHOME PYTHONPATH"]
    if container.login:
        lines += ["# tokenuser, tokenpassword", f"source {quoted_file(container.login)}"]
    if container.cache:
        cache = quoted_with_user(container.cache)
        lines.append(f"export APPTAINER_CACHEDIR={cache} SINGULARITY_CACHEDIR={cache}")
    elif not container.is_path:
        lines += _CACHE_OUTSIDE_AFS
    binary = container.binary or (container.runtime if container.runtime != "auto" else None)
    search = "command -v apptainer || command -v singularity" if binary is None else f"command -v -- {quoted(binary)}"
    missing = "neither apptainer nor singularity is in PATH" if binary is None else f"{binary} is not there"
    missing += " on this machine; see container-binary and container-runtime"
    return [
        *lines,
        f"pocket_exec_runtime=$({search}) || pocket_exec_stop {WorkerExit.NO_RUNTIME:d} {quoted(missing)}",
    ]


_CACHE_OUTSIDE_AFS = [
    "# What is fetched would fill a home directory on AFS.",
    "if [[ ${HOME-} == /afs/* && -z ${APPTAINER_CACHEDIR-} ]]; then",
    '  APPTAINER_CACHEDIR="/tmp/apptainer-cache-$(id -u)"',
    '  mkdir -m 700 "$APPTAINER_CACHEDIR" 2>/dev/null || :',
    "  # Images are run from it: what others have put there is not used.",
    '  if [ ! -d "$APPTAINER_CACHEDIR" ] || [ -L "$APPTAINER_CACHEDIR" ] || [ ! -O "$APPTAINER_CACHEDIR" ]; then',
    "    APPTAINER_CACHEDIR=$(mktemp -d)",
    "  fi",
    '  export APPTAINER_CACHEDIR SINGULARITY_CACHEDIR="$APPTAINER_CACHEDIR"',
    "fi",
]

_MOUNT = r"""
pocket_exec_field() { # a field of comma-separated values
  case $1 in *[,\"]*) printf '"%s"' "${1//\"/\"\"}" ;; *) printf '%s' "$1" ;; esac
}
pocket_exec_mount() { # SOURCE DESTINATION
  if [ ! -e "$1" ]; then
    pocket_exec_say "warning: $1 is not on this machine; it is left out of the image's mounts"
    return
  fi
  case $pocket_exec_mounted in *$'\n'"$2"$'\n'*) return ;; esac
  pocket_exec_mounted+=$2$'\n'
  pocket_exec_words+=(--mount "type=bind,$(pocket_exec_field "source=$1"),$(pocket_exec_field "destination=$2")")
}
pocket_exec_mounted=$'\n'
""".strip().splitlines()

_OWN_DIRECTORIES = """
for pocket_exec_directory in "$pocket_exec_job" "${TMPDIR-}" "${_CONDOR_SCRATCH_DIR-}"; do
  if [ -d "$pocket_exec_directory" ] && [ "$pocket_exec_directory" != / ]; then
    pocket_exec_mount "$pocket_exec_directory" "$pocket_exec_directory"
  fi
done
""".strip().splitlines()
