"""What a worker does in whatever process it lives: open the ledger once, then serve runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.owner import this_owner
from scripts.causal.campaign.run import Occupied, run_chain
from scripts.causal.campaign.transactions import RECONNECT_SECONDS
from scripts.causal.files import InputError
from trainers.api import Progress, RunSpec, Trainer, load_trainer


def setup_message(trainer: Trainer, ledger: Ledger, cooldown: float) -> dict[str, Any]:
    """What a worker is told first, as JSON values."""
    return {
        "ledger": ledger.url,
        "artifacts": str(ledger.artifacts),
        "lease": ledger.lease,
        "trainer": trainer.name,
        "cooldown": cooldown,
    }


@dataclass(frozen=True)
class Server:
    """A warm trainer and the ledger it records into."""

    trainer: Trainer
    ledger: Ledger
    owner: str

    @classmethod
    def open(cls, setup: Mapping[str, Any]) -> Self:
        """Take what `setup_message` says.

        Raises:
            InputError: the ledger cannot be opened, or the trainer is not installed here.
        """
        ledger = Ledger(
            setup["ledger"],
            Path(setup["artifacts"]),
            lease=setup["lease"],
            opening=RECONNECT_SECONDS,  # the campaign has it open: a server is only restarting
        )
        return cls(load_trainer(setup["trainer"]), ledger, this_owner())

    def serve(self, message: Mapping[str, Any], progress: Progress | None = None) -> bool:
        """Compute a run; false when somebody else is computing a stage of it.

        Args:
            message: as `jobs.Job.message` makes it.
            progress: called with the fraction of the run's missing stages that is done.

        Raises:
            InputError: the data, the ledger or the disk cannot be used, or the code is another.
        """
        spec = RunSpec(**message["run"])
        if self.trainer.stages(spec)[-1].key != message["key"]:
            raise InputError(
                "the trainer's code has changed since the campaign started", mend="start it again"
            )
        try:
            run_chain(self.trainer, spec, self.ledger, self.owner, progress, wait=False)
        except Occupied:
            return False
        return True
