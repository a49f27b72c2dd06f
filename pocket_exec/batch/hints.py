"""What gives a job more of what it has used up, in this project's options, whatever the batch system."""

from __future__ import annotations

MORE_MEMORY = "ask for more with mem-per-worker, or give a task less with chunksize"
MORE_TIME = "walltime or queue gives more"
MORE_DISK = "ask for more with disk-per-worker"
