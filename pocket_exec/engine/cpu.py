"""What numpy uses of a CPU, as the name of a level, and the setting of numpy's own that keeps it at a lower one.

numpy chooses among several versions of its loops by what the CPU can do; they may differ in a result's last bit. What
else looks at the CPU (the C library, OpenBLAS, numba) is not told here, and not held down.
"""

from __future__ import annotations

import functools
import importlib
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


def held_at(baseline: str) -> dict[str, str]:
    """Return the environment in which a process has to start so that numpy stays at the level ``baseline`` there."""
    found = _numpys()
    needed = found[1] if found is not None else ()
    above = [name for step in LEVELS[LEVELS.index(baseline) + 1 :] for name in _NAMES[step]]
    return {DISABLE: " ".join(name for name in (*above, *_BEYOND) if name not in needed), ENABLE: ""}


def mix(levels: Mapping[str, str]) -> str:
    """Return in a sentence that hosts differ in their ``levels``; empty where they do not."""
    if len(set(levels.values())) < 2:
        return ""
    hosts = {each: sorted(host for host, has in levels.items() if has == each) for each in sorted(set(levels.values()))}
    told = "; ".join(f"{each} on {_few(names)}" for each, names in hosts.items())
    lowest = next((each for each in LEVELS if each in hosts), None)
    hint = f"; with 'cpu-baseline: {lowest}' they do not" if lowest is not None and set(hosts) <= set(LEVELS) else ""
    return f"numpy uses {told}: the last bits of the result depend on which worker had which chunk{hint}"


def above(levels: Mapping[str, str], baseline: str) -> str:
    """Return in a sentence where numpy uses more than ``baseline``; empty where it does nowhere."""
    higher = LEVELS[LEVELS.index(baseline) + 1 :]
    hosts = sorted(host for host, has in levels.items() if has in higher)
    if not hosts:
        return ""
    setting = held_at(baseline)[DISABLE]
    return (
        f"cpu-baseline {baseline} is not kept on {_few(hosts)}, where numpy was imported before; to have it kept, "
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
