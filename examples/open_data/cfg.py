"""The dimuon spectrum on CMS Open Data of 2016, read over XRootD: see README.md for records and their DOIs."""

from pathlib import Path

from dimuon import DimuonProcessor

EOS = "root://eospublic.cern.ch//eos/opendata/cms"
DOUBLE_MUON = f"{EOS}/Run2016H/DoubleMuon/NANOAOD/UL2016_MiniAODv2_NanoAODv9-v1/2510000"
DRELL_YAN = (
    f"{EOS}/mc/RunIISummer20UL16NanoAODv9/DYJetsToLL_M-50_TuneCP5_13TeV-amcatnloFXFX-pythia8"
    "/NANOAODSIM/106X_mcRun2_asymptotic_v17-v1/30000"
)
GOLDEN_JSON = Path(__file__).parent / "Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt"

fileset = {
    "DoubleMuon_Run2016H": {
        "files": {
            f"{DOUBLE_MUON}/{name}.root": "Events"
            for name in (
                "EEB2FE3F-7CF3-BF4A-9F70-3F89FACE698E",  # 0.3 GB, the smallest: what --test takes
                "1BE226A3-7A8D-1B43-AADC-201B563F3319",
                "CD267D88-E57D-3B44-AC45-0712E2E12B87",
                "F5E234F9-1E9C-0042-B395-AB6407E4A336",
                "CAA285FF-7A12-F945-9183-DC7042178535",
                "4F0B53A7-6440-924B-AF48-B5B61D3CE23F",
            )
        },
        "metadata": {"sample": "DoubleMuon", "year": "2016", "is_mc": False},
    },
    "DYJetsToLL_M-50": {
        "files": {f"{DRELL_YAN}/0082C29D-E74C-024A-BE9B-97B29EE7A4A2.root": "Events"},
        "metadata": {"sample": "DYJetsToLL", "year": "2016", "is_mc": True, "xsec": 6077.22},
    },
}
processor = DimuonProcessor(
    triggers=("Mu17_TrkIsoVVL_Mu8_TrkIsoVVL_DZ", "Mu17_TrkIsoVVL_TkMu8_TrkIsoVVL_DZ"),
    golden_json=GOLDEN_JSON if GOLDEN_JSON.exists() else None,
)
run_options = {"chunksize": 200_000}
