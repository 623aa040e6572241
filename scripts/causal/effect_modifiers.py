"""Raw runs of one contrast in several settings → whether its effect depends on the setting.

Usage: python scripts/causal/effect_modifiers.py --results fresh.json --results repeated.json
           --output modifiers.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scripts.causal.campaign.modifiers import find_modifiers
from scripts.causal.campaign.schema import AblationResults, RawRuns
from scripts.causal.cli import run_command
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file, write_file
from scripts.causal.stats.moderated import Prior


def main(
    results: Annotated[
        list[Path], typer.Option(help="raw_runs.json, twice or more; the first is compared with")
    ],
    output: Annotated[Path, typer.Option(help="where to write modifiers.json")],
    alpha: Annotated[float, typer.Option(help="bound on any wrong dependence")] = 0.05,
    mde: Annotated[float, typer.Option(help="smallest difference that matters, bpb")] = 0.005,
    prior_from: Annotated[
        Path | None, typer.Option(help="ablation_results.json whose variance prior is borrowed")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    """Test whether an effect differs between scales, data repetition, horizons or partners."""
    if len(results) < 2:
        raise InputError("two settings are compared", where="--results", mend="give it twice")
    lent = None
    if prior_from is not None:
        prior = parse_file(AblationResults, prior_from).prior
        if prior is None:
            raise InputError("holds no variance prior", where=prior_from)
        lent = Prior(prior.scale**2, prior.df)
    files = [(str(path), parse_file(RawRuns, path)) for path in results]
    report = find_modifiers(files, alpha=alpha, mde=mde, prior=lent)
    write_file(output, report)
    if as_json:
        print(report.model_dump_json(indent=1))
    elif not quiet:
        for each in report.modifiers:
            Console(highlight=False, soft_wrap=True).print(f"- {each.words}", markup=False)


if __name__ == "__main__":
    run_command(main)
