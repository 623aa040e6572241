"""The graph of the records that come with the repository: real input, end to end."""

from collections import Counter

from scripts.causal.extract_interventions import EVIDENCE, RECORDS, extract_leaderboard
from scripts.causal.graph.assemble import assemble_dag
from scripts.causal.graph.design import CONTEXT, REGIME, build_design
from scripts.causal.graph.estimate import estimate_data_graph
from scripts.causal.graph.identifiability import check_identifiability


def test_the_bundled_records_have_a_graph():
    leaderboard = extract_leaderboard(RECORDS)
    design = build_design(leaderboard)
    assert len(design.table) >= 50
    assert len(design.factors) >= 10
    assert design.table.notna().all(axis=None)
    graph = estimate_data_graph(leaderboard, bootstraps=4)
    assert graph.fallback == ""
    at_outcome = [edge for edge in graph.edges if "bpb" in (edge.source, edge.target)]
    assert len(graph.edges) >= 8
    assert at_outcome
    assert any(one.frequency >= 0.5 for one in graph.frequencies)
    tiers = {node.id: node.tier for node in graph.nodes}
    for edge in graph.edges:
        if tiers[edge.source] < tiers[edge.target]:
            assert edge.target_mark == "arrow"
        if tiers[edge.source] > tiers[edge.target]:
            assert edge.source_mark == "arrow"
    dag = assemble_dag(graph, leaderboard)
    assert any(one.source == "reported" for edge in dag.edges for one in edge.estimates)
    report = check_identifiability(leaderboard, dag)
    assert len({item.reason for item in report.variables}) >= 3


def test_the_whole_leaderboard_supports_many_factors_and_tells_where_each_cell_comes_from():
    design = build_design(extract_leaderboard(EVIDENCE))
    assert len(design.table) >= 1000
    assert len(design.factors) >= 25
    assert set(CONTEXT) | set(REGIME) < set(design.columns)
    assert design.table.notna().all(axis=None)
    assert sum(parent is not None for parent in design.parents) >= 250
    counts = Counter(origin for origins in design.origins.values() for origin in origins)
    assert counts["inherited"] > 2000
    assert counts["unknown"] < 0.65 * counts.total()
    assert all(count < len(design.table) for count in design.imputed.values())
