import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "effects.py"


def run(*options):
    command = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_estimates_are_held_against_the_true_direct_effects():
    settings = ("--quick", "--classes", "iid,lineage", "--workers", "1", "--json")
    done = run("--part", "synthetic", *settings)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    told = json.loads(line)["synthetic"]
    for name in ("iid", "lineage"):
        methods = told[name]["methods"]
        assert methods["naive"]["answered"] > 0.9
        assert methods["naive"]["rmse_over_naive"][0] == 1
        # Where nothing is hidden a regression on everything is right, and naive is not.
        assert methods["all columns"]["rmse_over_naive"][0] < 0.6
        assert methods["ours, reported"]["rmse"][0] < methods["naive"]["rmse"][0]
        assert methods["ours, combined"]["answered"] == 1
        assert methods["ours, combined"]["rmse_over_naive"][0] < 0.6
        assert methods["ours, combined"]["coverage"][0] > 0.85
    assert told["iid"]["methods"]["all columns"]["coverage"][0] > 0.85
    assert told["iid"]["methods"]["naive"]["coverage"][0] < 0.85
    assert "child − parent" in told["lineage"]["methods"]
    assert "child − parent" not in told["iid"]["methods"]


def test_an_unknown_class_is_refused_in_one_line():
    done = run("--classes", "flat")
    assert done.returncode == 2
    assert "flat" in done.stderr
    assert "Traceback" not in done.stderr
