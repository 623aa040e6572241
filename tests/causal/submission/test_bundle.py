"""Joining modules: the one file behaves as the many did, and what cannot be joined is refused."""

import subprocess
import sys

import pytest

from scripts.causal.submission.bundle import BundleError, bundle


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that writes modules of a project package named `trainers_demo`."""
    folder = tmp_path / "trainers_demo"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        "scripts.causal.submission.bundle.PROJECT_PACKAGES", ("trainers_demo", "trainers")
    )

    def write(**sources: str) -> list[str]:
        for name, text in sources.items():
            (folder / f"{name}.py").write_text(text)
        return [f"trainers_demo.{name}" for name in sources]

    yield write
    for name in [name for name in sys.modules if name.startswith("trainers_demo")]:
        del sys.modules[name]


BASE = '"""Base.\n\nMore.\n"""\nfrom __future__ import annotations\nimport math\nSCALE = 2\n'
USER = (
    '"""User."""\nimport json, math\nfrom trainers_demo.base import SCALE\n\n\n'
    "def main(run):\n    # why: kept\n    print(json.dumps([SCALE, math.floor(1.5), run]))\n\n\n"
    'if __name__ == "__main__":\n    main(None)\n'
)


def test_the_bundle_runs_alone_and_keeps_comments(package, tmp_path):
    text = bundle(
        package(base=BASE, user=USER),
        title="One file.",
        constants={"RUN": {"a": [1, True, "x"]}},
        entry="main(RUN)",
    )
    assert "# why: kept" in text
    assert "trainers_demo.base import" not in text
    assert text.count("import math") == 1
    path = tmp_path / "alone" / "train_gpt.py"
    path.parent.mkdir()
    path.write_text(text)
    done = subprocess.run([sys.executable, "-I", path], capture_output=True, text=True, check=True)
    assert done.stdout == '[2, 1, {"a": [1, true, "x"]}]\n'


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"user": USER}, "trainers_demo.base is not bundled before trainers_demo.user"),
        ({"base": BASE, "twin": "SCALE = 3\n"}, "both define `SCALE`"),
        ({"base": BASE, "user": "import trainers_demo.base\n"}, "without `as`"),
        ({"base": BASE, "user": "from trainers_demo.base import SCALE as S\n"}, "without `as`"),
        (
            {"base": BASE, "user": "def f():\n    from trainers_demo.base import SCALE\n"},
            "at the top of the module",
        ),
        ({"base": BASE, "user": "from . import base\n"}, "is not bundled before"),
        ({"base": BASE, "user": "math = 3\n"}, "defines `math`"),
        (
            {"base": "from json import loads\n", "user": "from pickle import loads\n"},
            "clashes with `from json import loads`",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused_with_its_reason(package, sources, message):
    with pytest.raises(BundleError, match=message):
        bundle(package(**sources), title="t", constants={}, entry="pass")


def test_an_unknown_module_is_refused(package):
    with pytest.raises(BundleError, match="no such module"):
        bundle([*package(base=BASE), "trainers_demo.ghost"], title="t", constants={}, entry="pass")
