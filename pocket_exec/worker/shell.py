"""Quotes a user's words for bash: once, at the last edge."""

from __future__ import annotations

import re
import shlex

from pocket_exec.errors import ExecutorError

_USER = re.compile(r"\$(?:USER\b|\{USER\})")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def quoted(word: str, secret: str = "") -> str:
    """Return ``word`` as one word of bash that stands for nothing but itself.

    Args:
        word: what to quote.
        secret: what to call it in a message, where its own text may be seen by nobody.

    Raises:
        ExecutorError: it holds a line break or another control character, which no log, environment or submit file
            carries safely.
    """
    if _CONTROL.search(word):
        what = secret or repr(word)
        raise ExecutorError(f"{what} holds a line break or control character; a worker's script cannot use it")
    return shlex.quote(word)


def quoted_with_user(word: str) -> str:
    r"""Return ``word`` as one word of bash in which only ``$USER`` is filled in, on the worker.

    >>> quoted_with_user("/scratch/$USER/a b/$HOME")
    '/scratch/"$USER"\'/a b/$HOME\''
    """
    parts = _USER.split(word)
    return '"$USER"'.join(quoted(part) if part else "" for part in parts) or "''"


def quoted_file(name: str) -> str:
    """Return a file's name as one word of bash; a relative one is in the job's directory."""
    return quoted(name) if name.startswith("/") else f'"$pocket_exec_job"/{quoted(name)}'


def quoted_text(text: str) -> str:
    """Return shell code of any number of lines as one word.

    Raises:
        ExecutorError: it holds a NUL character.
    """
    if "\0" in text:
        raise ExecutorError(f"{text!r} holds a NUL character; a worker's script cannot use it")
    return shlex.quote(text)


def setup_lines(option: str, commands: tuple[str, ...]) -> list[str]:
    """Return lines that run a user's shell commands in the script's own shell and stop where one fails.

    ``eval`` keeps a command with a syntax error from breaking the script; the prelude's trap on EXIT tells of one that
    ends the shell, as ``set -e`` does, which counts because nothing looks at the status in the same line. A text of
    several lines is the commands in it, each of which is checked.
    """
    lines = [f"# {option}"] if commands else []
    if any(_is_block(command) for command in commands):
        lines += _NEXT_OF_BLOCK
    for command in commands:
        if _is_block(command):
            lines += [f"pocket_exec_block={quoted_text(command.rstrip() + _LINE_END)}", *_EACH_OF_BLOCK]
        else:
            lines += [f"pocket_exec_doing={quoted_text(command)}", *_DO]
    return lines


def _is_block(command: str) -> bool:
    return "\n" in command.strip()


_LINE_END = "\n"
_DO = ('eval "$pocket_exec_doing"', 'pocket_exec_check "$?"')
_EACH_OF_BLOCK = (
    'while [ -n "$pocket_exec_block" ]; do',
    "  pocket_exec_next",
    *(f"  {line}" for line in _DO),
    "done",
)
# Only bash knows where a command ends: with the first lines that make the body of a function. A here-document that is
# not yet whole swallows the function's end.
_NEXT_OF_BLOCK = r"""
pocket_exec_next() { # takes the next command off the block
  pocket_exec_doing=
  while [ -n "$pocket_exec_block" ]; do
    pocket_exec_doing+=${pocket_exec_doing:+$'\n'}${pocket_exec_block%%$'\n'*}
    pocket_exec_block=${pocket_exec_block#*$'\n'}
    if (eval "pocket_exec_whole() {"$'\n:\n'"$pocket_exec_doing"$'\n}') 2>/dev/null; then return; fi
  done
}
""".strip().splitlines()
