"""The page on the methods explains every number of a result, and the report links to it."""

import re

from scripts.causal.campaign.schema import AblationResults, ContrastResult
from scripts.causal.forms import parse_file
from scripts.causal.report import render_methods, write_report
from scripts.causal.reporting.methods import load_methods, methods_of

# What a result says of itself, which no method gives.
GIVEN = {"contrast", "cycle", "phase", "words"}


def test_every_number_of_a_result_is_some_methods():
    explained = [name for method in load_methods() for name in method.fields]
    assert len(set(explained)) == len(explained)
    assert set(ContrastResult.model_fields) - GIVEN - set(explained) == set()


def test_every_method_is_told_in_full():
    for method in load_methods():
        assert all((method.asks, method.how, method.assumes, method.wrong, method.source))
    page = render_methods("report.html")
    ids = re.findall(r'<h2 id="([a-z_]+)"', page)
    assert ids == [method.id for method in load_methods()]
    assert 'href="report.html"' in page


def test_the_report_links_to_methods_that_are_there(campaign_folder):
    page = write_report(campaign_folder).read_text()
    beside = (campaign_folder / "methods.html").read_text()
    linked = set(re.findall(r'href="methods\.html#([a-z_]+)"', page))
    assert {"moderated_t", "holm", "tost", "sign_flip", "verdict", "screening"} <= linked
    assert all(f'<h2 id="{name}"' in beside for name in linked)


def test_a_result_names_the_methods_of_its_numbers(campaign_folder):
    results = parse_file(AblationResults, campaign_folder / "ablation_results.json").results
    by_id = {result.contrast.id: result for result in results}
    confirmed = {m.id for m in methods_of(by_id["activation_leaky_relu_sq"])}
    assert {"moderated_t", "sign_flip", "holm", "power", "trend"} <= confirmed
    assert "interaction" not in confirmed
