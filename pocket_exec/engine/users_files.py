"""Names the user's own files in the tracebacks of workers that run copies of them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_COPY = re.compile(r'(?m)^  File "(?P<path>[^"]*?/(?:code|pocket-exec-code-[^/"]*)/(?P<name>[^"]+\.py))"')
"""A line of a traceback about a module of the code archive, which a worker unpacks into a directory of its own."""


def with_users_files(traceback: str) -> str:
    """Return a worker's traceback with the files that this process imports from where the worker has copies of them.

    What is not there to be imported here, and a file that is there under the worker's own path, keeps its name.
    """
    return _COPY.sub(_users, traceback)


def _users(line: re.Match[str]) -> str:
    if Path(line["path"]).exists():
        return line[0]
    found = (Path(place, line["name"]).absolute() for place in sys.path)
    path = next((path for path in found if path.is_file()), None)
    return f'  File "{path}"' if path else line[0]
