"""The submission of a campaign: assembled anew only where something it is made of changed."""

from __future__ import annotations

from pathlib import Path

from scripts.causal.campaign.chosen import choose_runs
from scripts.causal.campaign.schema import AblationResults, RawRuns
from scripts.causal.cli import progress_bar
from scripts.causal.files import InputError, digest
from scripts.causal.forms import parse_file
from scripts.causal.referee.check import RefereeError
from scripts.causal.run_cycle import Campaign
from scripts.causal.submission_assembly import assemble, confirmed_effects
from trainers.keys import code_version

SUBMISSION_MODULES = (
    "scripts.causal.submission_assembly",
    "scripts.causal.campaign.submitted",
    "scripts.causal.referee.check",
    "scripts.causal.referee.probes",
    "scripts.causal.referee.stated",
    *(
        f"scripts.causal.submission.{path.stem}"
        for path in sorted(Path(__file__).parent.glob("submission/*.py"))
    ),
)


def submit(campaign: Campaign, results: AblationResults, cycles: int) -> None:
    """Assemble the campaign's submission, unless the very same lies there already, verified.

    Raises:
        InputError: it is over the cap, or its own program does not reproduce the recorded bpb.
    """
    files = [
        campaign.folder / f"cycle_{cycle}" / "raw_runs.json" for cycle in range(1, cycles + 1)
    ]
    chosen = choose_runs([parse_file(RawRuns, path) for path in files], results.results)
    effects = confirmed_effects(results.results)
    output = campaign.folder / "submission" / campaign.plan.name
    modules = (*campaign.trainer.source_modules(campaign.plan.backend), *SUBMISSION_MODULES)
    key = digest(
        "submission", repr(chosen), repr(effects), str(output.resolve()), code_version(modules)
    )
    if campaign.ledger.recall(key) == folder_digest(output):
        return
    with progress_bar("submission, evaluated alone", quiet=campaign.quiet):
        try:
            assemble(
                chosen,
                effects,
                campaign.ledger,
                name=campaign.plan.name,
                author="causal-golf",
                github_id="",
                output=output,
            )
        except RefereeError as error:
            raise InputError(f"submission refused: {error}", where=output) from error
    campaign.ledger.remember(key, folder_digest(output))


def folder_digest(folder: Path) -> str:
    """Return a hash of a folder's files, names and contents; of a missing folder, of nothing."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest(
        *(
            part
            for path in files
            for part in (path.relative_to(folder).as_posix(), path.read_bytes())
        )
    )
