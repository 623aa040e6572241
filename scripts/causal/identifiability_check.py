"""Submissions and graph → which effects the data can tell, and which need an experiment first.

Usage: python scripts/causal/identifiability_check.py --interventions interventions.json
           --dag causal_dag.json --output identifiability_report.json
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from scripts.causal.cli import run_command
from scripts.causal.forms import parse_file, write_file
from scripts.causal.graph.identifiability import check_identifiability
from scripts.causal.graph.schema import CausalDag, IdentifiabilityReport
from scripts.causal.leaderboard.schema import load_leaderboard

__all__ = ["check_identifiability", "main", "summary"]


def summary(report: IdentifiabilityReport) -> str:
    """Return the report in one line."""
    verdicts = Counter(item.verdict for item in report.variables)
    reasons = Counter(item.reason for item in report.variables)
    why = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in reasons.items())
    return (
        f"proceed: {verdicts['proceed']}, experiment first: {verdicts['experiment_first']} ({why})"
    )


def main(
    interventions: Annotated[Path, typer.Option(help="interventions.json.")],
    dag: Annotated[Path, typer.Option(help="causal_dag.json.")],
    output: Annotated[Path, typer.Option(help="identifiability_report.json to write.")],
    quiet: Annotated[bool, typer.Option(help="Print nothing.")] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Report to standard output.")
    ] = False,
) -> None:
    """Say per variable whether the submissions identify its effect on bpb."""
    report = check_identifiability(load_leaderboard(interventions), parse_file(CausalDag, dag))
    write_file(output, report)
    if json_output:
        print(json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False))
    elif not quiet:
        print(summary(report))


if __name__ == "__main__":
    run_command(main)
