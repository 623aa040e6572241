"""The toy trainer, installed the way any trainer is: by an entry point."""

import importlib.util
import os
from pathlib import Path

import postgres_server
import pytest
from toy_trainer import ToyTrainer

from scripts.causal.campaign.ledger import open_ledger
from trainers.api import RunSpec

HERE = Path(__file__).parent


@pytest.fixture
def toy():
    return ToyTrainer()


@pytest.fixture
def ledger(tmp_path):
    ledger = open_ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory):
    """A folder that, on the path, makes "toy" an installed trainer."""
    place = tmp_path_factory.mktemp("site")
    info = place / "toy_trainer-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-trainer\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[causal_trainers]\ntoy = toy_trainer:ToyTrainer\n")
    return place


@pytest.fixture(scope="session")
def toy_path(toy_site):
    """PYTHONPATH of a child process that is to find the toy trainer."""
    inherited = [path for path in [os.environ.get("PYTHONPATH")] if path]
    return os.pathsep.join([str(toy_site), str(HERE), *inherited])


@pytest.fixture
def toy_installed(toy_site, toy_path, monkeypatch):
    """Let `load_trainer("toy")` find it, here and in child processes."""
    monkeypatch.syspath_prepend(toy_site)
    monkeypatch.setenv("PYTHONPATH", toy_path)


@pytest.fixture
def make_spec(toy):
    def make(seed=1, **overrides):
        return RunSpec(
            trainer="toy",
            backend="numpy-cpu-float64",
            scale="tiny",
            config=toy.resolve("tiny", overrides),
            seed=seed,
            data="toy-data",
        )

    return make


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for this session of tests."""
    programs = postgres_server.binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine (Debian: apt install postgresql)")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("PostgreSQL's driver is not installed (pip install -e .[postgres])")
    server = postgres_server.Server(programs)
    yield server
    server.close()
