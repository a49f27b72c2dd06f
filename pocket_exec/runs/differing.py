"""Says which globals that the processor reads are others on the workers: the results go by those."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from pocket_exec.engine.constants import are_state
from pocket_exec.engine.fingerprint import reached_names

log = logging.getLogger(__name__)


def differing_globals(processor: Any, differing: set[tuple[str, str]]) -> Iterator[str]:
    """Yield a sentence for each global of ``differing``, by module and name, that the processor reads.

    What the module's own code changes is state, and each process has its own.
    """
    if not differing:
        return
    try:
        reached = sorted((differing & reached_names(processor)) - are_state(differing))
    except Exception as error:  # noqa: BLE001 - the user's own code; it is only about a warning
        log.info("which globals differ on the workers is not known: %s", error)
        return
    for module, name in reached:
        yield (
            f"{module}.{name} is another one on a worker than here, and the results go by that; "
            "an attribute of the processor, or a value that stands in the file, is the same everywhere"
        )
