"""The environment that a worker runs in, as lines of bash.

The order, of which each step sees the ones before it:

1. ``host-setup-commands``, on the machine;
2. the image is entered;
3. ``working-dir`` (the directory of cfg.py) becomes the current one;
4. the values of ``pass-environment``;
5. ``env-script`` is sourced;
6. the variables of ``env``, of the grid proxy (``X509_USER_PROXY``) and of the output directory
   (``POCKET_EXEC_OUTPUT_DIRECTORY``, where the worker sees it);
7. ``local-virtualenv`` or ``conda-env`` is activated;
8. ``custom-setup-commands``;
9. the worker's Python is started.

A command of 1, 5 or 8 that fails, or ends the shell, stops the worker with its text and its status in the log. Commands
are the user's shell, as they are; all other words stand for themselves. ``env-script`` is one command. Of 7, a script
of a conda environment that fails is a warning, as to conda itself it is nothing at all.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pocket_exec.errors import ExecutorError
from pocket_exec.options.batch import BatchOptions
from pocket_exec.worker.shell import quoted, quoted_file, setup_lines
from pocket_exec.worker.statuses import WorkerExit

OUTPUT_DIRECTORY = "POCKET_EXEC_OUTPUT_DIRECTORY"
PROXY = "X509_USER_PROXY"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# An image has a Python of its own there; binding the machine's over it would break it.
_SYSTEM_PREFIXES = {"/", "/usr", "/usr/local"}


@dataclass(frozen=True)
class Activation:
    """A virtual or conda environment that the workers use."""

    prefix: str
    conda: bool = False
    variables: tuple[tuple[str, str], ...] = ()
    """Variables that conda keeps with the environment (``conda env config vars``)."""
    needs: tuple[str, ...] = ()
    """Directories beside ``prefix`` that its Python lives in."""

    @property
    def python(self) -> str:
        """Its Python."""
        return f"{self.prefix}/bin/python"


@dataclass(frozen=True)
class ClientPython:
    """The Python of the process that starts the run."""

    executable: str
    prefix: str
    base_prefix: str
    conda_prefix: str | None = None

    @classmethod
    def of_this_process(cls) -> Self:
        """Look at this process."""
        conda = sys.prefix if Path(sys.prefix, "conda-meta").is_dir() else os.environ.get("CONDA_PREFIX")
        return cls(sys.executable, sys.prefix, sys.base_prefix, conda)


@dataclass(frozen=True)
class Environment:
    """What a worker's environment is made of; files as the worker sees them, relative names in the job's directory."""

    private_file: str | None = None
    """Values of ``pass-environment``."""
    script: str | None = None
    """``env-script``."""
    variables: tuple[tuple[str, str], ...] = ()
    proxy: str | None = None
    output_directory: str | None = None
    activation: Activation | None = None
    setup_commands: tuple[str, ...] = ()
    working_directory: str | None = None
    """None for the directory that the job starts in."""
    working_directory_asked: bool = False
    """Whether the user named it; if not, a worker that does not see it stays in the job's directory."""
    in_image: bool = False


def activation(options: BatchOptions, client: ClientPython) -> Activation | None:
    """Return the environment that ``local-virtualenv`` or ``conda-env`` asks for.

    Raises:
        ExecutorError: the run is not started in such an environment.
    """
    if options.local_virtualenv:
        if client.prefix == client.base_prefix:
            raise ExecutorError(
                f"local-virtualenv: this run's Python, {client.executable}, is not in a virtual environment; "
                "activate one, or use conda-env, executable or worker-image"
            )
        homes = (client.base_prefix, str(Path(f"{client.prefix}/bin/python").resolve().parent.parent))
        needs = tuple(dict.fromkeys(home for home in homes if home not in _SYSTEM_PREFIXES))
        return Activation(client.prefix, needs=needs)
    if options.conda_env:
        if client.conda_prefix is None:
            raise ExecutorError(
                f"conda-env: this run's Python, {client.executable}, is not in a conda, mamba or micromamba "
                "environment; activate one, or use local-virtualenv, executable or worker-image"
            )
        return Activation(client.conda_prefix, conda=True, variables=_conda_variables(Path(client.conda_prefix)))
    return None


def _conda_variables(prefix: Path) -> tuple[tuple[str, str], ...]:
    """Return what ``conda env config vars set`` has written (conda's user guide, "Setting environment variables")."""
    try:
        state = json.loads((prefix / "conda-meta" / "state").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    return tuple((name, str(value)) for name, value in state.get("env_vars", {}).items() if value != "***unset***")


def private_environment(options: BatchOptions, environ: Mapping[str, str]) -> str | None:
    """Return the text of the file, for mode 0600, that gives workers the values of ``pass-environment``.

    None where nothing is to pass; a name that is not set here is passed over. Values may be secrets: they stand in no
    script.
    """
    lines = [_export(name, environ[name]) for name in options.pass_environment if name in environ]
    return "".join(f"{line}\n" for line in lines) or None


def environment_lines(environment: Environment) -> list[str]:
    """Return lines 3 to 8 of the order above."""
    lines = _working_directory(environment)
    if environment.private_file:
        name = quoted_file(environment.private_file)
        lines += [
            "# pass-environment",
            _stop_unless(f"[ -r {name} ]", WorkerExit.FILES, f"{environment.private_file} cannot be read here"),
            f"source {name}",
        ]
    if environment.in_image:
        lines += ["# Packages of your home directory do not belong to an image.", "export PYTHONNOUSERSITE=1"]
    if environment.script:
        lines += [
            "# env-script",
            f"pocket_exec_doing={quoted(f'env-script {environment.script}')}",
            f"source {quoted_file(environment.script)}",
            'pocket_exec_check "$?"',
        ]
    lines += ["# env"] if environment.variables else []
    lines += [_export(name, value) for name, value in environment.variables]
    if environment.proxy:
        lines.append(f"export {PROXY}={quoted_file(environment.proxy)}")
    if environment.output_directory:
        name = quoted(environment.output_directory)
        lines.append(f"if [ -d {name} ]; then export {OUTPUT_DIRECTORY}={name}; else unset {OUTPUT_DIRECTORY}; fi")
    if environment.activation:
        lines += _activation_lines(environment.activation)
    return lines + setup_lines("custom-setup-commands", environment.setup_commands)


def _working_directory(environment: Environment) -> list[str]:
    in_job = _stop_unless('cd -- "$pocket_exec_job"', WorkerExit.DIRECTORY, "the job's directory is not seen here")
    if environment.working_directory is None:
        return [in_job]
    enter = f"cd -- {quoted_file(environment.working_directory)}"
    if not environment.working_directory_asked:
        return ["# working-dir", f"{enter} 2>/dev/null || {in_job}"]
    told = f"{environment.working_directory} (working-dir) cannot be entered here; see mounts"
    return ["# working-dir", _stop_unless(enter, WorkerExit.DIRECTORY, told)]


def _activation_lines(found: Activation) -> list[str]:
    option = "conda-env" if found.conda else "local-virtualenv"
    prefix = quoted(found.prefix)
    lines = [
        f"# {option}",
        _stop_unless(f"[ -d {prefix} ]", WorkerExit.NO_PYTHON, f"{found.prefix} ({option}) is not here; see mounts"),
        "unset PYTHONHOME",
    ]
    if not found.conda:
        return [*lines, f"export VIRTUAL_ENV={prefix}", 'export PATH="$VIRTUAL_ENV/bin:$PATH"']
    return [
        *lines,
        f"export CONDA_PREFIX={prefix} CONDA_DEFAULT_ENV={prefix} CONDA_SHLVL=1",
        'export PATH="$CONDA_PREFIX/bin:$PATH"',
        *(_export(name, value) for name, value in found.variables),
        *_ACTIVATE_D,
    ]


# conda, mamba and micromamba go on after a script that fails, and packages rely on that (the last line of many is a
# test). One that ends the shell stops the worker.
_ACTIVATE_D = r"""
for pocket_exec_script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do
  if [ ! -r "$pocket_exec_script" ]; then continue; fi
  pocket_exec_doing="conda-env: source $pocket_exec_script"
  source "$pocket_exec_script"
  pocket_exec_status=$?
  if [ "$pocket_exec_status" -ne 0 ]; then
    pocket_exec_say "warning: $pocket_exec_script (conda-env) ended with status $pocket_exec_status"
  fi
done
""".strip().splitlines()


def _export(name: str, value: str) -> str:
    """Return the line that sets a variable.

    Raises:
        ExecutorError: bash has no such names, or the value has more than one line.
    """
    if not _NAME.fullmatch(name):
        raise ExecutorError(f"env: {name!r} cannot be the name of a variable; letters, digits and _ only")
    return f"export {name}={quoted(value, secret=f'the value of {name}')}"


def _stop_unless(command: str, status: WorkerExit, told: str) -> str:
    return f"{command} || pocket_exec_stop {status:d} {quoted(told)}"
