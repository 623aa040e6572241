"""One run at the tiny scale, in a ledger, for every diagnostic to look at."""

import pytest

from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.owner import this_owner
from scripts.causal.campaign.run import run_chain
from scripts.causal.diagnostics.subject import find_run
from trainers.api import RunSpec
from trainers.gpt.trainer import GptTrainer


@pytest.fixture(scope="session")
def recorded(small_data, tmp_path_factory):
    """Path of a ledger, and the key of the last stage of its only run."""
    gpt = GptTrainer()
    config = gpt.resolve("tiny", {"vocab_size": 300, "swa": True})
    spec = RunSpec("gpt", "torch-cpu-float32", "tiny", config, 3, str(small_data))
    path = tmp_path_factory.mktemp("diagnosed") / "ledger.sqlite"
    ledger = open_ledger(path)
    key = run_chain(gpt, spec, ledger, this_owner()).key
    ledger.close()
    return str(path), key


@pytest.fixture
def subject(recorded):
    return find_run(recorded[1], recorded[0])
