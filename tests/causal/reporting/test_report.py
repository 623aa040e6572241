"""The page says what the files say, loads nothing, and no file can add markup to it."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal, get_origin

import pytest

from interventions.catalog import Claim
from scripts.causal.files import InputError
from scripts.causal.forms import Record
from scripts.causal.report import render_report, write_report
from scripts.causal.reporting.campaign_files import CampaignFiles, load_campaign

BuildCampaign = Callable[[Path], Path]
VOID = {"meta", "br", "img", "link", "input", "hr"}
SCRIPT = Path(__file__).parents[3] / "scripts" / "causal" / "report.py"


class Page(HTMLParser):
    """Elements with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def structure(self) -> list[Any]:
        """All that a stranger's text must not change."""
        free = {"aria-label", "src"}
        return [
            (tag, {k: None if k in free else v for k, v in attributes.items()})
            for tag, attributes in self.elements
        ]


def render(folder: Path) -> Page:
    page = Page(render_report(load_campaign(folder)))
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory, build_campaign: BuildCampaign) -> str:
    """The finished campaign's page, made once: nobody changes it."""
    return render_report(load_campaign(build_campaign(tmp_path_factory.mktemp("campaign"))))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_plain_words_come_first(page: Page) -> None:
    text = page.text
    places = [
        text.index(words)
        for words in (
            "Of 6 changes tried, 1 is confirmed better, 1 is confirmed worse, 1 makes no ",
            "What was asked",
            "What was found",
            "Lowers the validation loss by 0.0127 bpb on 3 fresh seeds",
            "What this does not say",
            "eight H100 GPUs",
            "What to do next",
            "validate it at full scale",
            "Verdicts",
        )
    ]
    assert places == sorted(places)


def test_a_family_with_claims_of_its_own_is_asked_about_those(campaign_folder: Path) -> None:
    campaign = load_campaign(campaign_folder)
    assert campaign.about_leaderboard
    assert campaign.results is not None
    tested = campaign.results.results[0].contrast.id
    claims = {tested: (Claim("a paper", note="better"),), "untried": (Claim("a blog"),)}
    own = dataclasses.replace(campaign, about_leaderboard=False, claims=claims)
    text = Page(render_report(own)).text
    assert "1 published claim about this family of models, from a paper." in text
    for words in ("a blog", "leaderboard were read", "eight H100 GPUs", "Causal graph"):
        assert words not in text


def test_the_verdict_table_has_every_number(page: Page) -> None:
    text = page.text
    for shown in (
        "−0.0127",
        "−0.0158 to −0.0096",
        "98.33%",
        "12 discarded: treatment diverged at step 212",
        "may flip",
        "−0.0114",
        "−0.0013",
        "41%",
        "activation: relu_sq → leaky_relu_sq",
        "screening seeds only",
    ):
        assert shown in text


def test_what_submissions_do_not_say_is_listed_with_its_share(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "What submissions do not say 1 " in text
    assert "activation1220%0" in text.replace(" ", "")


def test_a_large_graph_says_what_is_not_drawn_and_keeps_its_tables_shut(
    campaign_folder: Path,
) -> None:
    campaign = load_campaign(campaign_folder)
    assert campaign.dag is not None
    first = campaign.dag.edges[1]
    many = [first.model_copy(update={"source": f"v{place}"}) for place in range(60)]
    beyond = first.model_copy(update={"target": "v1", "frequency": 1.0})
    dag = campaign.dag.model_copy(update={"edges": (beyond, *many)})
    large = render_report(dataclasses.replace(campaign, dag=dag))
    table = large[large.index("<summary>Supported by the data") - 20 :]
    assert "<details><summary>" in table[:60]
    assert table.index("v0 o-&gt; val_bpb") < table.index("num_layers o-&gt; v1")
    assert "60 of 61 edges" in large
    assert "edges." not in Page(render_report(campaign)).text


def test_what_was_run_and_its_cost(page: Page) -> None:
    text = " ".join(page.text.split())
    for shown in (
        "19 training runs, 1 without a result",
        "1.5 × 1014 training FLOPs",
        "20 tokens per parameter",
        "4 controls serve more than one pair",
        "Linux x86_64, 2 cores",
        "0.0125 spent, 0.0375 left",
    ):
        assert shown in text


@pytest.mark.parametrize(
    ("matched_by", "words"),
    [
        ("flops", ("same training compute", "training FLOPs")),
        ("steps", ("same number of steps", "Arms matched bysteps")),
        ("wall_time", ("same training time on the clock", "wall time, measured on warm runs")),
    ],
)
def test_what_the_arms_have_in_common_is_said(
    campaign_folder: Path, matched_by: str, words: tuple[str, ...]
) -> None:
    campaign = load_campaign(campaign_folder)
    assert campaign.plan is not None
    plan = campaign.plan.model_copy(update={"matched_by": matched_by})
    text = " ".join(Page(render_report(dataclasses.replace(campaign, plan=plan))).text.split())
    for said in words:
        assert said in text


def test_evidence_on_another_category_is_not_put_beside_a_test(html: str) -> None:
    # The reported estimate is of leaky_relu_sq; sin and SiLU are the same variable.
    table = html[html.index("What others say") : html.index("Each change in detail")]
    reported = [row for row in table.split("<tr>") if "<span>reported</span>" in row]
    assert len(reported) == 1
    assert "LeakyReLU(0.5)²" in reported[0]


def test_the_page_asks_nobody_for_anything(page: Page, html: str) -> None:
    policy = [a.get("content") for tag, a in page.elements if tag == "meta" and "http-equiv" in a]
    assert policy[0] is not None
    assert policy[0].startswith("default-src 'none'; img-src data:;")
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert value is not None
                # A link to the page beside it asks for nothing before it is followed.
                own = ("data:image/svg+xml;base64,", "#", *(["methods.html"] * (tag == "a")))
                assert value.startswith(own)
    assert "@import" not in html
    assert "url(http" not in html


def test_phones_are_served(page: Page, html: str) -> None:
    views = [a.get("content") for _, a in page.elements if a.get("name") == "viewport"]
    assert views == ["width=device-width, initial-scale=1"]
    assert "@media (max-width: 720px)" in html


def spoil(value: Any, payload: str) -> Any:
    """Append the payload to every string that a file can carry, keys of mappings included."""
    if isinstance(value, str):
        return value + payload
    if isinstance(value, tuple | list):
        return type(value)(spoil(each, payload) for each in value)
    if isinstance(value, dict):
        return {spoil(key, payload): spoil(each, payload) for key, each in value.items()}
    if isinstance(value, Record):
        fixed = {"metrics", "curves"}
        return value.model_copy(
            update={
                name: spoil(getattr(value, name), payload)
                for name, field in type(value).model_fields.items()
                if name not in fixed and get_origin(field.annotation) is not Literal
            }
        )
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value,
            **{f.name: spoil(getattr(value, f.name), payload) for f in dataclasses.fields(value)},
        )
    return value


MARKUP = " ".join(
    (
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</style></title></textarea></svg><iframe src=//x>",
        "]]><!-- -->",
        "javascript:alert(1)",
        "{{ 7 * 7 }}{% raw %}",
        "&lt;b&gt; &#60;b&#62;",
        "$\\frac{1}{0}$",
    )
)
MARKS = "\u202e\u2066evil\u2069\u200b\x00\x1b[31m\ud800"


@pytest.fixture
def one_contrast(campaign_folder: Path) -> CampaignFiles:
    """The campaign with the curves of one contrast, to draw fewer figures."""
    campaign = load_campaign(campaign_folder)
    (cycle,) = campaign.cycles
    assert cycle.runs is not None
    runs = cycle.runs.model_copy(update={"runs": cycle.runs.runs[:1]})
    return dataclasses.replace(campaign, cycles=(dataclasses.replace(cycle, runs=runs),))


@pytest.mark.parametrize("payload", [MARKUP, MARKS])
def test_no_text_adds_an_element_or_attribute(one_contrast: CampaignFiles, payload: str) -> None:
    harmless = Page(render_report(spoil(one_contrast, "zz")))
    html = render_report(spoil(one_contrast, payload))
    page = Page(html)
    assert page.structure() == harmless.structure()
    assert page.open == []
    assert not set(html) & set("\u202e\u2066\u2069\u200b\x00\x1b\ud800")
    shown = MARKUP if payload == MARKUP else "[U+202E][U+2066]evil[U+2069]"
    assert page.text.count(shown) > 50  # as text, wherever a file's text is shown


def test_a_hostile_drawing_stays_inside_an_image(campaign_folder: Path) -> None:
    (campaign_folder / "causal_dag.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
    )
    html = render_report(load_campaign(campaign_folder))
    assert "alert(1)" not in html
    assert '<img src="data:image/svg+xml;base64,' in html


def test_what_is_missing_is_said(campaign_folder: Path) -> None:
    for name in ("ablation_results.json", "cycle_1/raw_runs.json", "causal_dag.svg"):
        (campaign_folder / name).unlink()
    page = render(campaign_folder)
    assert "This campaign is not complete." in page.text
    assert "cycle_1/raw_runs.json" in page.text
    assert "No run is on file." in page.text
    assert "1 is confirmed better" in page.text  # from the cycle's own verdicts
    assert not [tag for tag, _ in page.elements if tag == "img"]


@pytest.mark.parametrize("name", ["plan.json", "interventions.json", "causal_dag.json"])
def test_any_one_file_is_enough(campaign_folder: Path, tmp_path: Path, name: str) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (campaign_folder / name).rename(alone / name)
    page = render(alone)
    assert "No contrast has a verdict yet." in page.text


def test_an_empty_folder_is_no_campaign(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no file of a campaign"):
        load_campaign(tmp_path)
    with pytest.raises(InputError, match="no such campaign folder"):
        load_campaign(tmp_path / "nowhere")


def test_the_report_lands_in_the_folder(campaign_folder: Path) -> None:
    path = write_report(campaign_folder)
    assert path == campaign_folder / "report.html"
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_command_names_a_broken_file(campaign_folder: Path) -> None:
    (campaign_folder / "plan.json").write_text('{"name": "x"}')
    done = subprocess.run(
        [sys.executable, SCRIPT, "--campaign", campaign_folder], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "plan.json: field" in done.stderr
    assert not (campaign_folder / "report.html").exists()
