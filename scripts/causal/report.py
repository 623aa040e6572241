"""A campaign's folder → one page that a newcomer can read, on a phone, without a network."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scripts.causal.campaign.schema import Platform
from scripts.causal.cli import run_command
from scripts.causal.files import write_text
from scripts.causal.graph.picture import choose_drawn
from scripts.causal.graph.schema import CausalDag, Edge
from scripts.causal.reporting import words
from scripts.causal.reporting.beliefs import published_beliefs
from scripts.causal.reporting.campaign_files import CampaignFiles, load_campaign
from scripts.causal.reporting.contrasts import ContrastView, view_contrasts
from scripts.causal.reporting.cost import campaign_cost
from scripts.causal.reporting.figures import NARROW, WIDE, forest_plot
from scripts.causal.reporting.methods import PAGE as METHODS_PAGE
from scripts.causal.reporting.methods import load_methods, methods_of
from scripts.causal.reporting.screens import view_screens
from scripts.causal.reporting.summary import (
    MATCHED,
    all_results,
    asked,
    dependences,
    found_headline,
    full_scale_limits,
    next_steps,
)
from scripts.causal.reporting.svg import inline

TAGS = {
    "experiment_confirmed": "Confirmed by experiment",
    "data_confirmed": "Supported by the data",
    "data_contradicted": "Expected by experts, contradicted by the data",
    "expert_imposed": "Imposed by experts, the data cannot speak",
    "uncertain": "Uncertain",
}
MARKS = {"tail": ("-", "-"), "arrow": ("<", ">"), "circle": ("o", "o")}


def render_report(campaign: CampaignFiles) -> str:
    """The report as one HTML page that makes no request.

    Nothing in the campaign's files can add an element or an attribute: every value is escaped,
    and the drawn graph, which may come from elsewhere, is an image in which nothing executes.
    """
    results = all_results(campaign)
    views = view_contrasts(campaign, results)
    cost = campaign_cost(campaign.runs)
    page = (
        _environment()
        .get_template("page.html")
        .render(
            campaign=campaign,
            headline=found_headline(results),
            dependences=dependences(campaign, results),
            asked=asked(campaign),
            limits=full_scale_limits(campaign, results, cost),
            next_steps=next_steps(campaign, results),
            views=views,
            evidence=[view for view in views if view.claims or view.estimates or view.notes],
            forest_wide=_forest(views, WIDE),
            forest_narrow=_forest(views, NARROW),
            dag_image=_image(campaign.dag_svg),
            drawn=choose_drawn(campaign.dag).words if campaign.dag else "",
            edges_by_tag=_edges_by_tag(campaign.dag),
            silence=_silence(campaign.dag),
            beliefs=published_beliefs(campaign.dag),
            cost=cost,
            platforms=_platforms(campaign),
            screens=view_screens(campaign),
            pairs=[each for each in results if each.interaction is not None],
            methods_page=METHODS_PAGE,
            methods_of=methods_of,
            matched=MATCHED,
            budget=campaign.results
            or next((c.results for c in campaign.cycles[::-1] if c.results), None),
        )
    )
    return page


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Read a campaign's folder, write its report (default ``report.html`` in it), return where.

    Beside it goes the page on the methods, to which it links.

    Raises:
        InputError: the folder holds no campaign, a file breaks its form, or the output cannot
            be written.
    """
    page = render_report(load_campaign(folder))
    path = folder / "report.html" if output is None else output
    write_text(path.with_name(METHODS_PAGE), render_methods(path.name))
    write_text(path, page)
    return path


def render_methods(report: str) -> str:
    """The page on the methods; `report` is the file name it leads back to."""
    template = _environment().get_template(METHODS_PAGE)
    return template.render(methods=load_methods(), report=report)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("reporting")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "bpb",
        "effect",
        "probability",
        "percent",
        "number",
        "count",
        "flops",
        "duration",
    ):
        environment.filters[name] = getattr(words, name)
    environment.filters |= {
        "edge": _edge,
        "level": lambda share: f"{100 * share:.4g}%",
        "scalar": _scalar,
    }
    return environment


def _visible(value: Any) -> Any:
    """What Jinja prints: strangers' text without invisible marks; our own markup as it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return words.plain_text(value)


def _scalar(value: bool | int | float | str) -> str:
    """A submission's field as it stands in the file, whole numbers with separators."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 100_000:
        return f"{value:,}"
    return str(value)


def _edge(edge: Edge) -> str:
    """``a o-> b``: the mark at each end as the form has it."""
    left, right = MARKS[edge.source_mark][0], MARKS[edge.target_mark][1]
    return f"{edge.source} {left}-{right} {edge.target}"


def _edges_by_tag(dag: CausalDag | None) -> list[tuple[str, str, list[Edge]]]:
    """Edges under the tag's words, those at the outcome first, then the strongest.

    Tags without edges are left out.
    """
    if dag is None:
        return []
    groups = []
    outcome = dag.outcome
    for tag, title in TAGS.items():
        edges = [edge for edge in dag.edges if edge.tag == tag]
        if edges:
            edges.sort(key=lambda e: (outcome not in (e.source, e.target), -(e.frequency or 0.0)))
            groups.append((tag, title, edges))
    return groups


def _silence(dag: CausalDag | None) -> list[tuple[str, int, int]]:
    """(variable, rows that do not tell it, rows that use it without a value), the worst first."""
    if dag is None:
        return []
    names = [
        node.id for node in dag.nodes if dag.imputed.get(node.id) or node.id in dag.unquantified
    ]
    rows = [(name, dag.imputed.get(name, 0), dag.unquantified.get(name, 0)) for name in names]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def _platforms(campaign: CampaignFiles) -> list[Platform]:
    """The places the runs were computed at, each once."""
    found = [cycle.runs.platform for cycle in campaign.cycles if cycle.runs is not None]
    if campaign.results is not None:
        found.append(campaign.results.platform)
    return [each for number, each in enumerate(found) if each not in found[:number]]


def _forest(views: tuple[ContrastView, ...], width: int) -> Markup | None:
    if not views:
        return None
    drawing = forest_plot(
        [view.forest_row() for view in views], mde=views[0].result.mde, width=width
    )
    return inline(
        drawing, f"f{width}", "Effects in bpb with their intervals; the table has the numbers"
    )


def _image(svg: str | None) -> Markup | None:
    """A data URI: base64 has no character that could end an attribute."""
    if svg is None or "<svg" not in svg[:4096]:
        return None
    encoded = base64.b64encode(svg.encode("utf-8", errors="replace")).decode("ascii")
    return Markup(f"data:image/svg+xml;base64,{encoded}")


def main(
    campaign: Annotated[
        Path, typer.Option(help="Folder of a campaign, as run_pipeline.py writes it.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="Where the page goes; default: report.html in the folder.")
    ] = None,
) -> None:
    """Write one self-contained HTML page on a campaign: verdicts, figures, graph and costs."""
    print(write_report(campaign, output))


if __name__ == "__main__":
    run_command(main)
