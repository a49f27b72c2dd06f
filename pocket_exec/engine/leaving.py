"""When a worker leaves, because the walltime of its job ends: what it has not begun by then is somebody else's."""

from __future__ import annotations

import os
import time

LEAVES_AT = "POCKET_EXEC_LEAVES_AT"
"""Variable of a worker's environment: when it leaves, in seconds since the epoch."""


def stays_for(seconds: float) -> bool:
    """Return whether this process goes on for so long; one that nothing is known of does."""
    try:
        return time.time() + seconds <= float(os.environ.get(LEAVES_AT, "inf"))
    except ValueError:
        return True
