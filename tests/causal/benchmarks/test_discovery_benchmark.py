import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "discovery.py"


def run(*options):
    command = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_both_searches_are_scored_against_the_truth_in_one_run(tmp_path):
    picture = tmp_path / "reliability.svg"
    options = ("--quick", "--worlds", "2", "--workers", "1", "--json", "--plot", str(picture))
    done = run(*options)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    told = json.loads(line)["classes"]["latent"]
    assert set(told["methods"]) == {
        "ours", "ours, no tiers", "causal-learn", "causal-learn with tiers"
    }  # fmt: skip
    for figures in told["methods"].values():
        assert figures["ended"] == 2
        assert 0.3 < figures["f1"][0] < 1
    assert sum(one["count"] for one in told["reliability"]) > 200
    shares = [one["true_share"] for one in told["reliability"]]
    assert shares[-1] > 0.9 > 0.3 > shares[0]
    assert picture.read_text().startswith("<?xml")


def test_an_unknown_class_is_refused_in_one_line():
    done = run("--classes", "flat")
    assert done.returncode == 2
    assert "flat" in done.stderr
    assert "Traceback" not in done.stderr
