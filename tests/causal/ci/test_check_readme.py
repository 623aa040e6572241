"""The README check finds what is wrong in small READMEs, and nothing in a right one."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[3] / ".ci" / "check_readme.py"
SCRIPT = """
import argparse
parser = argparse.ArgumentParser(description="Like --ghost, which is only talked about.")
parser.add_argument("--input", "-i", help="see also --phantom")
parser.add_argument("--max-cycles")
parser.parse_args()
"""
RIGHT = """# Name

See [the start](#run-it), [the script](scripts/causal/run_pipeline.py) and
[the web](https://example.org/none).

## Run it

<!-- run command -->
```bash
python3 -m venv .venv && .venv/bin/python scripts/causal/run_pipeline.py --input x --max-cycles 4
```
<!-- end -->

<!-- test command -->
```bash
python3 -m venv .venv && .venv/bin/python -m pytest
```
<!-- end -->
"""
Problems = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def problems() -> Problems:
    spec = importlib.util.spec_from_file_location("check_readme", CHECK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Problems = module.problems
    return found


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    script = tmp_path / "scripts" / "causal" / "run_pipeline.py"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    path = tmp_path / "README.md"
    path.write_text(RIGHT)
    return path


def test_a_right_readme_passes(readme: Path, problems: Problems) -> None:
    assert problems(readme) == []


@pytest.mark.parametrize(
    ("addition", "fault"),
    [
        ("[a](docs/none.md)", "link to docs/none.md, which does not exist"),
        ("![a](figure.svg)", "link to figure.svg, which does not exist"),
        ("| a |\n|---|\n| [b](none.toml#x) |", "link to none.toml, which does not exist"),
        ("[a](#nowhere)", "link to #nowhere, but no heading has that anchor"),
        (
            "```\npython scripts/causal/none.py\n```",
            "command runs scripts/causal/none.py, which does not exist",
        ),
        (
            "```sh\npython scripts/causal/run_pipeline.py \\\n  --max-cycle 4\n```",
            "scripts/causal/run_pipeline.py has no option --max-cycle",
        ),
        (
            "```\n.venv/bin/python scripts/causal/run_pipeline.py --ghost=1\n```",
            "scripts/causal/run_pipeline.py has no option --ghost",
        ),
        (
            "```\nX=1 python3 scripts/causal/run_pipeline.py --phantom\n```",
            "scripts/causal/run_pipeline.py has no option --phantom",
        ),
    ],
)
def test_a_fault_is_named_with_its_line(
    readme: Path, problems: Problems, addition: str, fault: str
) -> None:
    readme.write_text(RIGHT + "\n" + addition + "\n")
    (line,) = problems(readme)
    assert line.startswith("README.md:")
    assert line.endswith(f": {fault}")
    assert int(line.split(":")[1]) > RIGHT.count("\n")


def test_what_is_no_call_is_no_fault(readme: Path, problems: Problems) -> None:
    readme.write_text(
        RIGHT
        + "\n`python scripts/causal/none.py` in the text\n"
        + "\n```\n# python scripts/causal/none.py\n"
        + "python scripts/causal/run_pipeline.py -i -0.5 | less --raw\n```\n"
    )
    assert problems(readme) == []


def test_a_script_without_help_is_a_fault(readme: Path, problems: Problems) -> None:
    (readme.parent / "scripts" / "causal" / "run_pipeline.py").write_text("raise ValueError('no')")
    (line,) = problems(readme)
    assert line.endswith("--help fails: ValueError: no")


@pytest.mark.parametrize("marker", ["run command", "test command"])
def test_both_set_up_commands_must_stand_there(
    readme: Path, problems: Problems, marker: str
) -> None:
    readme.write_text(RIGHT.replace(f"<!-- {marker} -->", ""))
    assert problems(readme) == [
        f"README.md: no code block between <!-- {marker} --> and <!-- end -->"
    ]


def test_the_command_says_it_by_its_exit_code(readme: Path) -> None:
    right = subprocess.run([sys.executable, CHECK, readme], capture_output=True, text=True)
    assert (right.returncode, right.stdout) == (0, "README.md: links and commands hold\n")
    readme.write_text("# Nothing\n")
    wrong = subprocess.run([sys.executable, CHECK, readme], capture_output=True, text=True)
    assert wrong.returncode == 1
    assert wrong.stdout.count("\n") == 2
