import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "extraction_speed.py"


def run(folder, *options):
    command = [sys.executable, str(SCRIPT), "--input", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_cost_is_told_per_megabyte_at_each_size(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "README.md").write_text("# T\n\n" + "- 11L, SmearGate\n" * 200)
    done = run(tmp_path, "--times", "3,1")
    told = json.loads(done.stdout.splitlines()[-1])
    assert [size["times"] for size in told["sizes"]] == [1, 3]
    assert [size["submissions"] for size in told["sizes"]] == [1, 3]
    assert all(size["seconds_per_megabyte"] > 0 for size in told["sizes"])
    assert told["growth_per_megabyte"] > 0


def test_wrong_options_are_refused_in_one_line(tmp_path):
    for options in ((), ("--times", "0"), ("--times", "x")):
        done = run(tmp_path, *options)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
