"""Says which globals that the processor reads are others on the workers: the results go by those."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pocket_exec.engine.constants import are_state, in_words
from pocket_exec.engine.fingerprint import reached_names

log = logging.getLogger(__name__)


def differing_globals(processor: Any, differing: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Yield a sentence for each global of ``differing``, by module and name, that the processor reads.

    What the module's own code changes is state, and each process has its own.
    """
    if not differing:
        return
    try:
        reached = sorted(differing.keys() & reached_names(processor) - are_state(differing))
        values = {name: in_words(vars(sys.modules[name[0]])[name[1]]) for name in reached}
    except Exception as error:  # noqa: BLE001 - the user's own code; it is only about a warning
        log.info("which globals differ on the workers is not known: %s", error)
        return
    for (module, name), here in values.items():
        yield (
            f"{module}.{name} is {here} here and {differing[module, name]} on a worker, and the results go by that; "
            "an attribute of the processor, or a value that stands in the file, is the same everywhere"
        )
