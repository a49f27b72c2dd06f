"""The bash script that a worker's job runs: a function of what it starts, and of nothing else.

It is started with the worker's name as its only argument. With an image that it starts itself it has two parts: the
inner one is text that bash runs in the image, so that the script's own path need not be visible there. The outer one
then stays to pass signals on, and to tell an image that does not start from a worker that has ended; without such an
image the script becomes the worker's Python.
"""

from __future__ import annotations

from pocket_exec.worker.container import container_lines
from pocket_exec.worker.endings import OUTER
from pocket_exec.worker.environment import environment_lines
from pocket_exec.worker.shell import quoted, quoted_file, setup_lines
from pocket_exec.worker.start import WorkerStart
from pocket_exec.worker.statuses import LOG_MARK, WorkerExit

_INNER = "POCKET_EXEC_IN_IMAGE"


def job_script(start: WorkerStart) -> str:
    """Return the whole script.

    Raises:
        ExecutorError: a word that no script can carry.
    """
    lines = ["#!/bin/bash", "# Starts one Dask worker of pocket-exec; its name is the only argument.", *_PRELUDE]
    lines += setup_lines("host-setup-commands", start.host_setup_commands)
    inner = [*environment_lines(start.environment), *_python_lines(start)]
    if start.container is None:
        return _text([*lines, *inner])
    if start.host_setup_commands:
        lines.append("set +eu")
    end = _INNER
    inner = [*_PRELUDE, *inner]
    while end in "\n".join(inner).splitlines():
        end += "_"
    return _text(
        [
            *lines,
            "# worker-image",
            *container_lines(start.container),
            f"IFS= read -r -d '' pocket_exec_inner <<'{end}'",
            *inner,
            end,
            "trap - EXIT",
            *_SUPERVISION,
        ]
    )


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


_PRELUDE = rf"""
pocket_exec_name=$1
pocket_exec_job=${{2-$PWD}}
export USER="${{USER:-$(id -un 2>/dev/null || id -u)}}"
pocket_exec_say() {{ printf '{LOG_MARK} %s: %s\n' "$pocket_exec_name" "${{1//$'\n'/; }}" >&2; }}
pocket_exec_stop() {{ trap - EXIT; pocket_exec_say "$2"; exit "$1"; }} # STATUS TEXT
pocket_exec_failed() {{ pocket_exec_stop {WorkerExit.SETUP_COMMAND:d} "failed with status $1: $pocket_exec_doing"; }}
pocket_exec_check() {{ if [ "$1" -ne 0 ]; then pocket_exec_failed "$1"; fi; }}
pocket_exec_doing='the start of the worker'
trap 'pocket_exec_failed "$?"' EXIT
""".strip().splitlines()

_SUPERVISION = rf"""
pocket_exec_child=
pocket_exec_ending=
pocket_exec_end() {{
  pocket_exec_ending=yes
  if [ -n "$pocket_exec_child" ]; then kill -TERM "$pocket_exec_child" 2>/dev/null; fi
}}
trap pocket_exec_end TERM INT HUP
export {OUTER}=$$
pocket_exec_words+=(/bin/bash -c "$pocket_exec_inner" pocket-exec-worker "$pocket_exec_name" "$pocket_exec_job")
"${{pocket_exec_words[@]}}" &
pocket_exec_child=$!
if [ -n "$pocket_exec_ending" ]; then pocket_exec_end; fi
wait "$pocket_exec_child"
pocket_exec_status=$?
while kill -0 "$pocket_exec_child" 2>/dev/null; do
  wait "$pocket_exec_child"
  pocket_exec_status=$?
done
case $pocket_exec_status in
  0 | 7[0-9] | 1[3-9][0-9] | 129) exit "$pocket_exec_status" ;; # the worker's own, or a signal's
esac
pocket_exec_stop {WorkerExit.NO_IMAGE:d} \
  "$pocket_exec_runtime could not start the image (status $pocket_exec_status); what it said stands above"
""".strip().splitlines()


def _python_lines(start: WorkerStart) -> list[str]:
    """Return the lines that become the worker's Python, after a look at whether it and its files are there."""
    lines = ["set +eu", "trap - EXIT", "ulimit -u unlimited 2>/dev/null"]
    lines += [
        f"if [ ! -r {quoted_file(name)} ]; then pocket_exec_stop {WorkerExit.FILES:d} "
        f"{quoted(f'{name} cannot be read here; see mounts, and shared-filesystem: false')}; fi"
        for name in (start.archive, start.settings)
    ]
    if start.python:
        lines.append(f"pocket_exec_python=({' '.join(quoted(word) for word in start.python)})")
    else:
        lines += [
            "pocket_exec_python=(python3)",
            "if ! command -v python3 >/dev/null && command -v python >/dev/null; then pocket_exec_python=(python); fi",
        ]
    return [
        *lines,
        f"pocket_exec_archive={quoted_file(start.archive)}",
        *_CHECK_PYTHON,
        "shopt -s execfail",
        f'exec "${{pocket_exec_python[@]}}" "$pocket_exec_archive" {quoted_file(start.settings)} "$pocket_exec_name"',
        f'pocket_exec_stop {WorkerExit.NO_PYTHON:d} "Python could not be started: ${{pocket_exec_python[*]}}"',
    ]


_CHECK_PYTHON = rf"""
command -v -- "${{pocket_exec_python[0]}}" >/dev/null ||
  pocket_exec_stop {WorkerExit.NO_PYTHON:d} "no ${{pocket_exec_python[0]}} here; see executable and worker-image"
pocket_exec_test='import sys, zipfile; sys.exit(0 if zipfile.is_zipfile(sys.argv[1]) else {WorkerExit.FILES:d})'
"${{pocket_exec_python[@]}}" -I -S -c "$pocket_exec_test" "$pocket_exec_archive"
pocket_exec_status=$?
case $pocket_exec_status in
  0) ;;
  {WorkerExit.FILES:d}) pocket_exec_stop {WorkerExit.FILES:d} "only a part of $pocket_exec_archive is here" ;;
  *)
    pocket_exec_stop {WorkerExit.NO_PYTHON:d} \
      "Python does not start here (status $pocket_exec_status): ${{pocket_exec_python[*]}}"
    ;;
esac
""".strip().splitlines()
