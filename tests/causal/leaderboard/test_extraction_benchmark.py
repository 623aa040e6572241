import importlib.util
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from interventions.vocabulary import load_variables
from scripts.causal.files import InputError
from scripts.causal.leaderboard.schema import Leaderboard, Submission

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "extraction.py"
BLIND = SCRIPT.with_name("blind_labels.json")
SHARED = Path(__file__).parents[4] / "shared"
LABELS = SHARED / "extraction" / "labels_dev.json"


def benchmark():
    spec = importlib.util.spec_from_file_location("extraction_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


LABEL = {
    "id": "7/track/one",
    "val_bpb": 1.1,
    "base_bpb": 1.2,
    "parent_prs": [549],
    "seeds": [{"seed": 42, "val_bpb": 1.1}],
    "artifact_bytes": 15_900_000,
    "techniques": {"swa": True, "num_layers": 11, "other:x": True},
    "ablations": [{"variable": "swa", "delta": -0.01}, {"variable": "other:a", "delta": 0.02}],
}


def contrast(variable, delta):
    source = {"file": "README.md", "line": 1}
    named = {"variable": variable, "from": None, "to": None, "delta": delta, "source": source}
    return {**named, "unit": "bpb", "kind": "single", "quote": None}


def test_scores_follow_the_rules_of_the_labels():
    read = Submission.model_validate(
        {
            "id": "track/one",  # found without the label's first part
            "val_bpb": 1.1004,
            "base_bpb": 1.3,
            "parent_prs": (549, 1),
            "seeds": ({"seed": 42, "val_bpb": 1.1},),
            "artifact_bytes": 15_930_000,
            "techniques": {"swa": True, "num_layers": 9, "other:y": True},
            "ablations": (contrast("swa", 0.01), contrast("other:b", 0.02)),
        }
    )
    scores = benchmark().score(Leaderboard(source="x", submissions=(read,)), [LABEL])
    assert scores["found"] == scores["val_bpb"] == scores["artifact_bytes"] == 1
    assert scores["base_bpb"] == 0
    assert scores["parent_prs"] == pytest.approx(2 / 3)
    assert scores["techniques"] == 1
    assert scores["technique_values"] == 0.5
    assert scores["ablations"] == 0.5  # any other: for any other:, but the sign must agree
    assert scores["ablation_deltas"] == 1
    assert scores["ablation_sign"] == 0.5


def test_what_a_label_leaves_out_is_not_scored():
    read = Submission.model_validate(
        {"id": "track/one", "val_bpb": 1.1, "ablations": (contrast("swa", -0.01),)}
    )
    label = {"id": "7/track/one", "ablations": LABEL["ablations"][:1]}
    scores = benchmark().score(Leaderboard(source="x", submissions=(read,)), [label])
    assert scores["ablations"] == scores["ablation_sign"] == 1
    assert not {"val_bpb", "base_bpb", "parent_prs", "seeds", "techniques"} & set(scores)


def test_only_the_named_draws_of_labels_are_scored(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "README.md").write_text("# One\n")
    (tmp_path / "one" / "submission.json").write_text("{}")
    labels = [{"draw": draw, "id": name, "ablations": []} for draw, name in ((1, "one"), (2, "x"))]
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    command = [sys.executable, str(SCRIPT), "--input", str(tmp_path), "--draws", "1"]
    done = subprocess.run(
        [*command, "--labels", str(tmp_path / "labels.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["labels"], told["found"]) == (1, 1)


def test_a_draw_that_no_label_has_is_refused():
    with pytest.raises(InputError, match=r"no draw '4'.*one of 1, 2"):
        benchmark()._of_draws([{"draw": 1}, {"draw": 2}], "1,4")


def test_blind_labels_name_known_variables_and_finite_deltas():
    labels = json.loads(BLIND.read_text())
    assert len({label["id"] for label in labels}) == len(labels)
    variables = load_variables()
    for label in labels:
        for row in label["ablations"]:
            assert row["variable"].startswith("other:") or row["variable"] in variables
            assert abs(row["delta"]) < 10


@pytest.mark.corpus
@pytest.mark.skipif(not LABELS.is_file(), reason=f"no development labels: {LABELS}")
def test_the_development_labels_are_read_well(tmp_path):
    wanted = {f"pulls/{label['id']}" for label in json.loads(LABELS.read_text())}
    with tarfile.open(SHARED / "corpus" / "leaderboard.tar.gz") as archive:
        members = [m for m in archive if m.name.rsplit("/", 1)[0] in wanted]
        archive.extractall(tmp_path, members, filter="data")
    command = [sys.executable, str(SCRIPT), "--input", str(tmp_path / "pulls")]
    done = subprocess.run(
        [*command, "--labels", str(LABELS)], capture_output=True, text=True, check=True
    )
    scores = json.loads(done.stdout.splitlines()[-1])
    floors = {"found": 1, "val_bpb": 0.97, "base_bpb": 0.95, "artifact_bytes": 0.95,
              "parent_prs": 0.95, "seeds": 0.97, "techniques": 0.95, "technique_values": 0.96,
              "ablations": 0.75, "ablation_deltas": 0.85, "ablation_sign": 0.98}  # fmt: skip
    assert {name: scores[name] for name in floors if scores[name] < floors[name]} == {}
