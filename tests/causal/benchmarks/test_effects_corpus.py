import json
import subprocess
import sys
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest

from benchmarks import effects_corpus as corpus
from benchmarks.effects_corpus import Claim, Held
from interventions.vocabulary import load_variables
from scripts.causal.graph.design import build_design
from scripts.causal.graph.lineage import lineage_clusters
from scripts.causal.leaderboard.evidence import load_evidence, write_evidence
from scripts.causal.leaderboard.schema import Ablation, Leaderboard, Source, Submission

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "benchmarks" / "effects.py"
EVIDENCE = ROOT / "records" / "evidence.json.xz"


@pytest.fixture
def figures():
    import effects_figures  # imports what lies beside it

    return effects_figures


def submission(number, bpb, parent=None, author=None, ablations=(), **techniques):
    return Submission(
        id=f"{number}/a",
        pr=number,
        author=author or f"author {number}",
        val_bpb=bpb,
        parent_prs=() if parent is None else (parent,),
        techniques=techniques,
        ablations=tuple(ablations),
    )


def ablation(variable, delta):
    return Ablation(
        variable=variable,
        **{"from": "without"},
        to="with",
        delta=delta,
        unit="bpb",
        kind="single",
        quote=None,
        source=Source(file="README.md", line=1),
    )


def board(*submissions):
    return Leaderboard(source="test", submissions=submissions)


def held(variable, effect, **claims):
    names = {name: Claim(nan) for name in corpus.METHODS}
    given = {name.replace("_", " "): Claim(*claim) for name, claim in claims.items()}
    return Held(0, variable, False, True, (effect,), names | given)


def test_a_family_is_never_split_and_folds_are_of_a_size():
    families = ["a"] * 6 + ["b"] * 5 + [f"single {n}" for n in range(9)]
    fold_of = corpus.deal(families, 2, seed=0)
    assert set(fold_of) == set(families)
    sizes = [sum(fold_of[one] == fold for one in families) for fold in range(2)]
    assert sizes == [10, 10]
    assert fold_of["a"] != fold_of["b"]
    assert corpus.deal(families, 2, seed=0) == fold_of != corpus.deal(families, 2, seed=1)


def test_a_number_that_its_author_also_gives_in_the_fit_is_not_asked_for():
    one = submission(1, 1.1, author="x", ablations=[ablation("smear_gate", -0.002)])
    copy = submission(2, 1.2, author="x", ablations=[ablation("smear_gate", -0.002)])
    other = submission(3, 1.2, author="y", ablations=[ablation("smear_gate", -0.004)])
    asked = corpus.news(board(one, copy, other), [False, True, True], load_variables())
    assert list(asked) == [("smear_gate", False, True, [pytest.approx(-0.004)])]


def test_nothing_of_the_held_out_families_reaches_the_fit(monkeypatch):
    families = [
        [
            submission(
                100 * f + n,
                1.1 + 0.001 * n,
                parent=100 * f if n else None,
                ablations=[ablation("smear_gate", -0.001 * (f + 1))] if n == 1 else (),
                smear_gate=bool(n % 2),
            )
            for n in range(4)
        ]
        for f in range(1, 7)
    ]
    whole = board(*(one for family in families for one in family))
    labels = lineage_clusters(whole.submissions)
    fold_of = corpus.deal(labels, 3, seed=0)
    seen = []
    for name in ("build_design", "estimate_data_graph", "estimate_effects"):
        inner = getattr(corpus, name)

        def spy(leaderboard, *rest, inner=inner, **more):
            seen.append({one.id for one in leaderboard.submissions})
            return inner(leaderboard, *rest, **more)

        monkeypatch.setattr(corpus, name, spy)
    found = corpus.measure_fold(1, whole, fold_of)
    out = {
        one.id for one, label in zip(whole.submissions, labels, strict=True) if fold_of[label] == 1
    }
    assert out
    assert len(seen) == 4
    assert all(ids == {one.id for one in whole.submissions} - out for ids in seen)
    (one,) = found
    assert len(one.reported) == 2
    theirs = [a.delta for s in whole.submissions if s.id in out for a in s.ablations]
    assert one.effect == pytest.approx(np.mean(theirs))


def test_naive_is_the_difference_of_means_wherever_a_value_is_not_said():
    rows = [submission(n, 1.0 + 0.01 * n, smear_gate=True) for n in range(3)]
    rows += [submission(10 + n, 1.5 + 0.01 * n) for n in range(3)]
    claim = corpus.naive_difference(build_design(board(*rows)), "smear_gate", False, True)
    assert claim.effect == pytest.approx(-0.5)
    assert claim.low == pytest.approx(-0.5 - 1.96 * (2 * 0.01**2 / 3) ** 0.5, abs=1e-5)
    nothing = corpus.naive_difference(build_design(board(*rows)), "slot", False, True)
    assert np.isnan(nothing.effect)


def test_naive_takes_the_slope_where_hardly_anybody_has_the_numbers():
    rows = [submission(n, 1.0 + 0.01 * n, num_layers=n) for n in (4, 6, 8, 10, 12)]
    claim = corpus.naive_difference(build_design(board(*rows)), "num_layers", 7, 9)
    assert claim.effect == pytest.approx(0.02)


def test_signs_ranks_and_sureness_are_those_of_the_contrasts_told(figures):
    contrasts = [
        held("a", -0.01, combined=(-0.02, -0.03, -0.01), naive=(-0.3, -0.4, -0.2)),
        held("b", -0.02, combined=(-0.03, -0.04, -0.02), naive=(-0.2, -0.3, -0.1)),
        held("c", -0.03, combined=(-0.04, -0.09, 0.01), naive=(-0.1, -0.2, -0.05)),
        held("d", 0.01, combined=(0.01, -0.01, 0.03), naive=(-0.4, -0.5, -0.3)),
        held("e", 0.02, combined=(0.02, 0.01, 0.03), naive=(-0.5, -0.6, -0.4)),
        held("f", 0.02, naive=(0.1, 0.05, 0.2)),
    ]
    told = figures.figures(contrasts, "combined", resamples=50, seed=0)
    assert (told["covered"], told["refused"]) == (5, 1)
    assert told["sign"]["agree"] == told["sign"]["of"] == 5
    assert told["sign"]["interval"] == (pytest.approx(0.478, abs=1e-3), 1)
    assert told["sure"]["of"] == 3
    assert told["balanced"]["value"] == 1
    assert told["spearman"]["value"] == pytest.approx(1)
    beside = figures.duel(contrasts, "combined", "naive", resamples=50, seed=0)
    assert beside["contrasts"] == 5
    assert beside["naive"]["sign"]["share"] == 0.6
    assert beside["naive"]["balanced"]["value"] == 0.5
    assert beside["signs_only"] == {"combined": 2, "naive": 0, "p": 0.5}
    assert beside["sign_ahead"]["value"] == 0.4
    assert beside["spearman_ahead"]["value"] > 1


def test_what_everybody_knows_the_sign_of_stands_apart(figures):
    contrasts = [held("ttt", -0.01), held("smear_gate", -0.01)]
    told = figures.summary(contrasts, resamples=10)
    assert told["all"]["contrasts"] == 2
    assert told["sign not known beforehand"]["contrasts"] == 1
    json.dumps(told)


def test_an_evidence_file_is_measured_in_one_line_of_json(tmp_path):
    evidence = load_evidence(EVIDENCE)
    file = tmp_path / "evidence.json.xz"
    some = evidence.model_copy(update={"submissions": evidence.submissions[:180]})
    write_evidence(file, some)
    settings = ["--part", "corpus", "--quick", "--workers", "1", "--evidence", str(file), "--json"]
    command = [sys.executable, str(SCRIPT), *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    told = json.loads(line)["corpus"]
    assert (told["folds"], told["submissions"]) == (2, 180)
    found = told["scopes"]["all"]
    assert found["contrasts"] == len(told["contrasts"]) > 10
    for method in ("naive", "observed", "combined"):
        figures = found["methods"][method]
        assert figures["covered"] + figures["refused"] == found["contrasts"]
        assert figures["covered"] > 0.5 * found["contrasts"]
    # Whatever the signs: the sizes of naive are those of who else mentions it.
    both = found["beside"]["combined / naive"]
    assert both["combined"]["median_error"] < both["naive"]["median_error"] / 2


def test_two_reports_of_a_contrast_agree_in_sign_as_often_as_their_pairs_do(figures):
    split = replace(held("swa", 0.0), reported=(-1.0, -1.0, 1.0))
    alike = replace(held("ema", 0.0), reported=(-1.0, -2.0))
    lone = held("qat", -1.0)
    assert figures.concord([split, alike, lone]) == {"contrasts": 2, "share": 0.667}
    assert figures.concord([lone]) is None
    assert split.effect == -1.0
