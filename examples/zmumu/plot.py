"""Draw the dimuon mass: data over stacked simulation, with their ratio.

    python plot.py OUT_DIR

reads ``OUT_DIR/output_all.coffea`` and writes ``OUT_DIR/dimuon_mass.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

import matplotlib.pyplot as plt
import mplhep
from coffea.util import load
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

DATA = "SingleMuon"
SIMULATION = {"TTTo2Mu2Nu": r"$\mathrm{t\bar{t}}$", "DYToMuMu_M50": r"$\mathrm{Z}/\gamma^{*}\to\mu\mu$"}
NONPROMPT = "Nonprompt (from same charge)"
COLOURS = ["#9c9ca1", "#e42536", "#5790fc"]  # readable for all, M. A. Petroff, arXiv:2107.02270
UNCERTAINTY = r"Statistical $\oplus$ luminosity"
BAND: dict[str, Any] = {"fill": True, "facecolor": "none", "edgecolor": "0.25", "hatch": "/////", "linewidth": 0}
LUMINOSITY_UNCERTAINTY = 0.012
"""Relative uncertainty of the luminosity: that of CMS in 2016 (Eur. Phys. J. C 81 (2021) 800)."""


def draw(output: dict[str, Any], path: Path) -> None:
    """Draw the figure and save it at ``path``."""
    histogram = output["mass"]
    missing = {DATA, *SIMULATION} - set(histogram.axes["dataset"])
    if missing:
        raise ValueError(f"the output has no dataset {', '.join(sorted(missing))}")
    data = histogram[{"dataset": DATA, "charge": "opposite"}]
    stack = [nonprompt(histogram[{"dataset": DATA, "charge": "same"}])]
    stack += [histogram[{"dataset": name, "charge": "opposite"}] for name in SIMULATION]
    expected = sum(part.values() for part in stack)
    of_simulation = sum(part.values() for part in stack[1:])
    uncertainty = np.sqrt(sum(part.variances() for part in stack) + (LUMINOSITY_UNCERTAINTY * of_simulation) ** 2)

    with plt.style.context([mplhep.style.ROOT, {"mathtext.cal": "sans"}]):
        figure, (above, below) = plt.subplots(
            2, 1, figsize=(10, 10), sharex=True, gridspec_kw={"height_ratios": [3, 1], "hspace": 0.06}
        )
        _spectrum(above, data, stack, expected, uncertainty)
        _ratio(below, data, expected, uncertainty)
        above.set_title("Pseudo-data", loc="left", fontsize=24, fontweight="bold")
        above.set_title(rf"{output['luminosity_pb']:.3g} pb$^{{-1}}$ (13 TeV)", loc="right", fontsize=22)
        figure.align_ylabels()
        figure.savefig(path, dpi=150, bbox_inches="tight")


def nonprompt(same_charge: Any) -> Any:
    """Estimate pairs with a muon from a jet, which has either charge, by the pairs of same charge in data.

    They are too few to have a shape in mass: it is taken as flat.
    """
    estimate = same_charge.copy()
    bins = same_charge.axes[0].size
    estimate.view()["value"] = same_charge.values().sum() / bins
    estimate.view()["variance"] = same_charge.variances().sum() / bins**2
    return estimate


def _spectrum(axes: Axes, data: Any, stack: list[Any], expected: Any, uncertainty: Any) -> None:
    edges = data.axes[0].edges
    mplhep.histplot(stack, stack=True, histtype="fill", color=COLOURS, label=[NONPROMPT, *SIMULATION.values()], ax=axes)
    band = axes.stairs(expected + uncertainty, edges, baseline=expected - uncertainty, label=UNCERTAINTY, **BAND)
    band.set_zorder(3)
    mplhep.histplot(data, histtype="errorbar", color="black", label="Data", ax=axes, zorder=4)
    axes.set_yscale("log")
    axes.set_ylim(0.3, 300 * expected.max())
    axes.set_xlabel("")
    width = edges[1] - edges[0]
    axes.set_ylabel("Events / GeV" if width == 1 else f"Events / {width:g} GeV", loc="top")
    handles, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    drawn = {label: by_label[label] for label in ("Data", *reversed(SIMULATION.values()), NONPROMPT, UNCERTAINTY)}
    axes.legend(drawn.values(), drawn.keys(), loc="upper right", fontsize=18, labelspacing=0.3)
    axes.text(0.04, 0.96, "Two isolated muons\nof opposite charge", transform=axes.transAxes, va="top", fontsize=18)


def _ratio(axes: Axes, data: Any, expected: Any, uncertainty: Any) -> None:
    edges, centres = data.axes[0].edges, data.axes[0].centers
    observed = data.values()
    axes.stairs(1 + uncertainty / expected, edges, baseline=1 - uncertainty / expected, **BAND)
    axes.axhline(1, color="black", linewidth=1)
    axes.errorbar(centres, observed / expected, np.sqrt(observed) / expected, fmt="o", color="black", markersize=6)
    axes.set_ylim(0.5, 1.5)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylabel("Data / exp.", loc="center", fontsize=24)
    axes.set_xlabel(data.axes[0].label)
    axes.xaxis.set_minor_formatter(NullFormatter())


def main() -> None:
    """Draw what the directory on the command line holds."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python plot.py OUT_DIR")
    directory = Path(sys.argv[1])
    result = directory / "output_all.coffea"
    if not result.exists():
        raise SystemExit(f"there is no {result}: run the analysis first, with --full or without --process-separately")
    path = directory / "dimuon_mass.png"
    draw(load(result), path)
    print(path)


if __name__ == "__main__":
    main()
