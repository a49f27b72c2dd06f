"""What is learned of the branches that chunks touch."""

from __future__ import annotations

from pocket_exec.engine.reading.learned import Learned


def test_what_the_first_chunk_touches_is_learned_for_its_dataset_only() -> None:
    learned = Learned()
    learned.record("DY", ["Muon_pt", "nMuon", "Muon_pt"])
    assert learned.branches("DY") == ("Muon_pt", "nMuon")
    assert learned.branches("QCD") == ()


def test_what_few_chunks_touch_is_not_read_for_all() -> None:
    learned = Learned()
    for number in range(10):
        learned.record("DY", ["nMuon", *(["Jet_pt"] if number < 3 else [])])
    assert learned.branches("DY") == ("nMuon",)
