"""What a result's last bits depend on beside the code: what numpy uses of the CPU, and the C library.

numpy chooses among several versions of its loops by what the CPU can do, and for some functions (sinh, arctan2, log1p)
calls the C library, of which each version has its own last bits. A setting of numpy's own keeps it at a lower level of
the CPU. What else looks at the CPU (the C library itself, OpenBLAS, numba) is not told here, and not held down.
"""

from __future__ import annotations

import functools
import importlib
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress

DISABLE = "NPY_DISABLE_CPU_FEATURES"
"""Read when numpy is imported; names that a CPU or a build does not have are passed over (numpy's documentation,
"CPU/SIMD Optimizations"). Those that a build cannot do without it refuses."""
ENABLE = "NPY_ENABLE_CPU_FEATURES"
"""numpy refuses both at once; empty is as if it were not set."""

_LOWEST = "x86-64-v2"
_NAMES = {
    "x86-64-v3": ("AVX", "F16C", "FMA3", "AVX2", "X86_V3"),
    "x86-64-v4": ("AVX512F", "AVX512CD", "AVX512_SKX", "X86_V4"),
}
"""numpy's names, before and since 2.4, for what each level of the x86-64 psABI adds to the one below."""
_BEYOND = ("XOP", "FMA4", "AVX512_KNL", "AVX512_KNM", "AVX512_CLX", "AVX512_CNL", "AVX512_ICL", "AVX512_SPR")
LEVELS = (_LOWEST, *_NAMES)
_DEPENDS = "the last bits of the result depend on which worker had which chunk"


@functools.cache
def level() -> str:
    """Return what numpy uses in this process: ``x86-64-v3``; elsewhere the machine and its features. Empty: unknown."""
    found = _numpys()
    if found is None:
        return ""
    features, baseline, dispatched = found
    used = [*baseline, *(name for name in dispatched if features.get(name))]
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return " ".join([platform.machine(), *used])
    reached = _LOWEST
    for name, adds in _NAMES.items():
        known = [feature for feature in adds if feature in baseline or feature in dispatched]
        if not known or not set(known) <= set(used):
            break
        reached = name
    return reached


@functools.cache
def used() -> str:
    """Return level and C library of this process: ``x86-64-v3, glibc 2.34``."""
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        library = ""  # another C library than GNU's
    return ", ".join(filter(None, [level(), library]))


def held_at(baseline: str) -> dict[str, str]:
    """Return the environment in which a process has to start so that numpy stays at the level ``baseline`` there."""
    found = _numpys()
    needed = found[1] if found is not None else ()
    above = [name for step in LEVELS[LEVELS.index(baseline) + 1 :] for name in _NAMES[step]]
    return {DISABLE: " ".join(name for name in (*above, *_BEYOND) if name not in needed), ENABLE: ""}


def mix(hosts: Mapping[str, str]) -> str:
    """Return in a sentence or two that ``hosts`` differ in what they have ``used``; empty where they do not."""
    levels, libraries = (
        _by_what(hosts, 0),
        _by_what({host: what for host, what in hosts.items() if ", " in what}, 1),
    )
    sentences = []
    if len(levels) > 1:
        lowest = next((each for each in LEVELS if each in levels), None)
        known = lowest is not None and set(levels) <= set(LEVELS)
        hint = f"; with 'cpu-baseline: {lowest}' they do not" if known else ""
        sentences.append(f"numpy uses {_told(levels)}: {_DEPENDS}{hint}")
    if len(libraries) > 1:
        sentences.append(f"the C library is {_told(libraries)}: {_DEPENDS}; in one image (worker-image) they do not")
    return ". ".join(sentences)


def _by_what(hosts: Mapping[str, str], part: int) -> dict[str, list[str]]:
    """Return the hosts by what they have of one of the two parts of ``used``, in order."""
    found: dict[str, list[str]] = {}
    for host, what in hosts.items():
        found.setdefault(what.split(", ")[part], []).append(host)
    return {what: sorted(found[what]) for what in sorted(found)}


def _told(hosts: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{what} on {_few(names)}" for what, names in hosts.items())


def above(hosts: Mapping[str, str], baseline: str) -> str:
    """Return in a sentence where numpy uses more than ``baseline``; empty where it does nowhere."""
    higher = LEVELS[LEVELS.index(baseline) + 1 :]
    over = sorted(host for host, what in hosts.items() if what.split(", ")[0] in higher)
    if not over:
        return ""
    setting = held_at(baseline)[DISABLE]
    return (
        f"cpu-baseline {baseline} is not kept on {_few(over)}, where numpy was imported before; to have it kept, "
        f"start that process with {DISABLE}='{setting}' in its environment"
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _numpys() -> tuple[Mapping[str, bool], Sequence[str], Sequence[str]] | None:
    """Return the features that numpy has found, those it was built with, and those it chooses at run time."""
    # What numpy.show_runtime prints; there is no other way to it.
    for name in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        with suppress(ImportError, AttributeError):
            module = importlib.import_module(name)
            return module.__cpu_features__, module.__cpu_baseline__, module.__cpu_dispatch__
    return None
