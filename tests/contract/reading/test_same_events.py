"""Events as the worker makes them are those of plain coffea: buffer by buffer, field by field, also what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema
from coffea.nanoevents.trace import trace

from pocket_exec.engine.reading import Reading, announced, cheap
from tests.contract.reading.given import everything, handed_over, items_of, sums, write

SIZES = [13, 40]
REAL = ["nano_dimuon.root", "nano_dy.root", "nano_tree.root"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "a.root")


def both(process: Callable[[Any], Any], **options: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return Runner's function and ours of it."""
    plain = handed_over(process, **options)
    ours = cheap(plain, Reading())
    assert ours is not plain
    return plain, ours


def outs(function: Callable[[Any], Any], items: Any) -> list[Any]:
    return [function(item)["out"] for item in items]


@pytest.mark.filterwarnings("ignore")  # what coffea has to say of these files, it says either way
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("size", SIZES)
def test_all_buffers_of_real_files_are_the_same(nanoaod_dir: Path, name: str, size: int) -> None:
    plain, ours = both(everything)
    items = items_of(nanoaod_dir / name, size, year=2018)
    outs(ours, items[:1])
    with announced(items):
        assert outs(ours, items) == outs(plain, items)


@pytest.mark.parametrize("size", [90, 300, 1000])
def test_all_buffers_of_runs_of_chunks_are_the_same(path: Path, size: int) -> None:
    plain, ours = both(everything)
    items = items_of(path, size)
    assert outs(ours, items) == outs(plain, items)
    backwards = items[::-1]
    assert outs(ours, backwards) == outs(plain, backwards)


def depends_on_the_data(events: Any) -> dict[str, Any]:
    """Touch other columns in other chunks."""
    out: dict[str, Any] = {"n": len(events), "muons": int(ak.sum(ak.num(events.Muon)))}
    if out["muons"] % 2:
        out["jet"] = ak.to_list(events.Jet.pt)
    elif out["muons"] % 3:
        out["charge"] = ak.to_list(events.Muon.charge)
    return out


def test_columns_that_only_some_chunks_touch_are_read_there(path: Path) -> None:
    plain, ours = both(depends_on_the_data)
    items = items_of(path, 50)
    found = outs(ours, items)
    assert found == outs(plain, items)
    assert {key for out in found for key in out} == {"n", "muons", "jet", "charge"}


def looks_around(events: Any) -> dict[str, Any]:
    """Ask for what is there and what is not, in all the ways that analyses do."""
    return {
        "hasattr": [hasattr(events, name) for name in ("Muon", "Jet", "GenPart", "MET", "genWeight")],
        "in": ["Muon" in events.fields, "GenPart" in events.fields],
        "getattr": getattr(events, "genWeight", None),
        "muon": events.Muon.fields,
        "loop": {name: str(ak.type(events[name])) for name in events.fields if name.startswith("M")},
        "matched": ak.to_list(events.Muon.matched_jet.pt),
        "masked": ak.to_list(events[events.MET.pt > 0.5].Muon.matched_jet.pt),
        "docs": str(events.Muon.pt.__doc__),
    }


def test_what_is_asked_about_columns_has_the_same_answer(path: Path) -> None:
    plain, ours = both(looks_around)
    items = items_of(path, 100)
    assert outs(ours, items) == outs(plain, items)


@pytest.mark.filterwarnings("ignore")
def test_generator_cross_references_of_a_slice_stay_in_the_slice(nanoaod_dir: Path) -> None:
    def parents(events: Any) -> dict[str, Any]:
        particles = events.GenPart
        return {"parent": ak.to_list(particles.parent.pdgId), "children": ak.to_list(particles.children.pdgId)}

    plain, ours = both(parents)
    items = items_of(nanoaod_dir / "nano_dy.root", 8)
    assert outs(ours, items) == outs(plain, items)


def test_metadata_are_those_of_the_chunk_with_what_the_schema_adds(path: Path) -> None:
    _, ours = both(lambda events: {"metadata": dict(events.metadata)})
    items = items_of(path, 500, year=2018)
    found = [out["metadata"] for out in outs(ours, items)]
    assert [(each["entrystart"], each["entrystop"]) for each in found] == [(0, 500), (500, 1000)]
    assert all(each["version"] == "latest" and each["year"] == 2018 for each in found)


def test_coffeas_tracing_works_on_the_events(path: Path) -> None:
    def traced(events: Any) -> dict[str, Any]:
        return {"columns": sorted(trace(lambda seen: ak.sum(seen.Muon.pt), events))}

    plain, ours = both(traced)
    items = items_of(path, 500)
    assert outs(ours, items) == outs(plain, items)


@pytest.mark.parametrize("preload", [frozenset({"Muon_pt", "nMuon"}), frozenset({"no_such_branch"})])
def test_preloaded_branches_change_nothing_in_the_result(path: Path, preload: frozenset[str]) -> None:
    plain, ours = both(everything)
    items = [replace(item, preload=preload) for item in items_of(path, 250)]
    assert outs(ours, items) == outs(plain, items)


def test_metrics_say_the_same_but_for_bytes_that_were_not_read_twice(path: Path) -> None:
    plain, ours = both(sums, savemetrics=True)
    items = items_of(path, 100)
    theirs, mine = ([function(item)["metrics"] for item in items] for function in (plain, ours))
    for name in ("columns", "entries"):
        assert [each[name] for each in mine] == [each[name] for each in theirs]
    with uproot.open(path) as file:
        file["Events"]
        opened = file.file.source.num_requested_bytes
    first = theirs[0]["bytesread"]
    assert mine[0]["bytesread"] == first > opened
    assert opened < sum(each["bytesread"] for each in mine) < 2 * first + opened


def test_processed_is_the_item(path: Path) -> None:
    _, ours = both(sums)
    (item,) = items_of(path, 1000)
    assert ours(item)["processed"] == {item}


def test_several_files_and_datasets_are_kept_apart(tmp_path: Path) -> None:
    plain, ours = both(everything)
    files = [write(tmp_path / f"{n}.root", 400, seed=n, more=["genWeight"] * (n % 2)) for n in range(5)]
    items = [item for n, path in enumerate(files) for item in items_of(path, 150, f"set {n % 2}", sample=n)]
    mixed = items[::3] + items[1::3] + items[2::3]
    assert outs(ours, mixed) == outs(plain, mixed)


def test_iteritems_options_are_obeyed(path: Path) -> None:
    plain, ours = both(
        lambda events: {"fields": events.fields},
        iteritems_options={"filter_name": ["run", "event", "luminosityBlock", "*Muon*", "*Jet*"]},
    )
    items = items_of(path, 500)
    assert outs(ours, items) == outs(plain, items)


def test_an_empty_chunk_is_one(path: Path) -> None:
    plain, ours = both(everything)
    items = [replace(item, entrystop=item.entrystart) for item in items_of(path, 500)]
    assert outs(ours, items) == outs(plain, items)


def test_a_buffer_cache_is_given_to_the_events(path: Path) -> None:
    cache: dict[str, Any] = {}
    _, ours = both(sums, cachestrategy=lambda: cache, schema=NanoAODSchema)
    outs(ours, items_of(path, 500))
    assert len(cache) >= 6
