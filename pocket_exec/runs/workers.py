"""What a run's record says of workers that were jobs of a batch system."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class WorkersRecord:
    """Where the workers ran; all None for workers that were no jobs."""

    image: str | None = None
    image_digest: str | None = None
    image_date: datetime | None = None
    jobs_tag: str | None = None
