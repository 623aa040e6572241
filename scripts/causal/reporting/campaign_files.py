"""A campaign's folder, read into its forms. What is not there yet is named, never made up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from interventions.catalog import Claim, catalog_of, has_own_catalog
from scripts.causal.campaign.modifiers import ModifierReport
from scripts.causal.campaign.plan import CampaignPlan
from scripts.causal.campaign.schema import AblationResults, ContrastRuns, RawRuns, Selection
from scripts.causal.campaign.validation import Validation
from scripts.causal.files import InputError, read_json, read_text
from scripts.causal.forms import Record, parse_file
from scripts.causal.graph.schema import CausalDag, DagDiff, IdentifiabilityReport
from scripts.causal.leaderboard.schema import Leaderboard

FileForm = TypeVar("FileForm", bound=Record)


@dataclass(frozen=True)
class Cycle:
    """One cycle of the discover–adjust loop; a part is None until its stage has run."""

    number: int
    runs: RawRuns | None = None
    selection: Selection | None = None
    results: AblationResults | None = None


@dataclass(frozen=True)
class CampaignFiles:
    """Everything a report is made of.

    Attributes:
        name: name of the campaign's folder.
        dag_svg: the drawn causal graph, as it lies in the file: untrusted text.
        submissions: folder name → scalar fields of its submission.json.
        claims: contrast id → what was published about it, from the catalog.
        about_leaderboard: whether its claims are the leaderboard's; a family may have its own.
        missing: file names that a finished campaign has and this one has not.
        validation: what became of it at full scale; None where that was not tried.
        modifiers: contrasts compared between settings; None where none were.
    """

    name: str
    plan: CampaignPlan | None = None
    leaderboard: Leaderboard | None = None
    dag: CausalDag | None = None
    dag_svg: str | None = None
    identifiability: IdentifiabilityReport | None = None
    dag_diff: DagDiff | None = None
    results: AblationResults | None = None
    cycles: tuple[Cycle, ...] = ()
    submissions: Mapping[str, Mapping[str, bool | int | float | str]] = field(default_factory=dict)
    claims: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    about_leaderboard: bool = True
    missing: tuple[str, ...] = ()
    validation: Validation | None = None
    modifiers: ModifierReport | None = None

    @property
    def runs(self) -> tuple[ContrastRuns, ...]:
        """All runs, cycle by cycle: of contrasts, of pairs' parts and of factorial screens."""
        found: list[ContrastRuns] = []
        for raw in (cycle.runs for cycle in self.cycles if cycle.runs):
            found += (*raw.runs, *raw.parts, *(raw.factorial.runs if raw.factorial else ()))
        return tuple(found)


def load_campaign(folder: Path) -> CampaignFiles:
    """Read what a campaign's folder holds.

    Raises:
        InputError: the folder is missing or holds no file of a campaign, or a file that is
            there breaks its form.
    """
    if not folder.is_dir():
        raise InputError("no such campaign folder", where=folder)
    missing: list[str] = []

    def part(form: type[FileForm], name: str) -> FileForm | None:
        path = folder / name
        if path.exists():
            return parse_file(form, path)
        missing.append(name)
        return None

    plan = part(CampaignPlan, "plan.json")
    leaderboard = part(Leaderboard, "interventions.json")
    dag = part(CausalDag, "causal_dag.json")
    svg_path = folder / "causal_dag.svg"
    if not svg_path.exists():
        missing.append(svg_path.name)
    identifiability = part(IdentifiabilityReport, "identifiability_report.json")
    dag_diff = part(DagDiff, "dag_diff.json")
    results = part(AblationResults, "ablation_results.json")
    cycles: list[Cycle] = []
    for number, name in _cycle_folders(folder):
        cycles.append(
            Cycle(
                number,
                part(RawRuns, f"{name}/raw_runs.json"),
                part(Selection, f"{name}/selection.json"),
                part(AblationResults, f"{name}/ablation_results.json"),
            )
        )
    if not cycles:
        missing.append("cycle_1/raw_runs.json")
    at_scale, compared = folder / "validation.json", folder / "modifiers.json"
    if not (plan or leaderboard or dag or identifiability or results or cycles):
        raise InputError(
            "holds no file of a campaign",
            where=folder,
            mend="give the folder that run_pipeline.py wrote, for example results/causal/NAME",
        )
    trainer = plan.trainer if plan else ""
    catalog = catalog_of(trainer)
    return CampaignFiles(
        name=folder.resolve().name,
        plan=plan,
        leaderboard=leaderboard,
        dag=dag,
        dag_svg=read_text(svg_path) if svg_path.exists() else None,
        identifiability=identifiability,
        dag_diff=dag_diff,
        results=results,
        cycles=tuple(cycles),
        submissions=_submissions(folder / "submission"),
        claims={entry.id: entry.claims for entry in catalog.values() if entry.claims},
        about_leaderboard=not has_own_catalog(trainer),
        missing=tuple(missing),
        validation=parse_file(Validation, at_scale) if at_scale.exists() else None,
        modifiers=parse_file(ModifierReport, compared) if compared.exists() else None,
    )


def _cycle_folders(folder: Path) -> list[tuple[int, str]]:
    found = (re.fullmatch(r"cycle_(\d{1,4})", path.name) for path in folder.iterdir())
    return sorted((int(match[1]), match[0]) for match in found if match)


def _submissions(folder: Path) -> dict[str, dict[str, bool | int | float | str]]:
    found: dict[str, dict[str, bool | int | float | str]] = {}
    for path in sorted(folder.glob("*/submission.json")):
        fields = read_json(path)
        if not isinstance(fields, dict):
            raise InputError("must be a JSON object", where=path)
        found[path.parent.name] = {
            str(name): value
            for name, value in fields.items()
            if isinstance(value, bool | int | float | str)
        }
    return found
