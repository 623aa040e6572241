"""Effect modifiers from literal files: what differs is named, and whether the effect does."""

import json

import pytest

from scripts.causal.campaign.modifiers import find_modifiers
from scripts.causal.campaign.schema import (
    ArmRun,
    Contrast,
    ContrastRuns,
    Pair,
    Platform,
    RawRuns,
)
from scripts.causal.effect_modifiers import main
from scripts.causal.files import InputError
from scripts.causal.forms import write_file
from scripts.causal.report import write_report

BASE = {"iterations": 400, "train_data_tokens": 0, "activation": "relu_sq", "qk_gain": 1.5}


def settings(effects, *, scale="fast", tokens=1_000_000.0, name="corrupted", **control):
    """Raw runs of one contrast whose differences are `effects`."""
    config = {**BASE, **control}
    contrast = Contrast(
        id=name,
        variable="corrupted_context",
        label="corrupted context",
        changes={"corrupted_context": 0.1},
        control=config,
        treatment={**config, "corrupted_context": 0.1, "iterations": 300},
        stage="train",
        matched_by="flops",
        flops_per_pair=1e12,
        reason="test",
    )
    metrics = {"parameters": 100_000.0, "tokens": tokens}
    pairs = tuple(
        Pair(
            seed=seed,
            control=ArmRun(key=f"c{seed}", metrics={"val_bpb": 2.0, **metrics}),
            treatment=ArmRun(key=f"t{seed}", metrics={"val_bpb": 2.0 + effect, **metrics}),
        )
        for seed, effect in enumerate(effects)
    )
    platform = Platform(
        trainer="gpt", backend="torch-cpu-float32", scale=scale, data="nowhere", machine="laptop"
    )
    return RawRuns(
        cycle=1,
        platform=platform,
        screen_seeds=(),
        confirm_seeds=tuple(range(len(effects))),
        runs=(ContrastRuns(contrast=contrast, phase="confirm", pairs=pairs),),
    )


WORSE, BETTER = [0.010, 0.011, 0.012, 0.010], [-0.010, -0.012, -0.011, -0.010]


def only(*files):
    (found,) = find_modifiers(
        [(f"{n}.json", raw) for n, raw in enumerate(files)], alpha=0.05, mde=0.005
    ).modifiers
    return found


def test_a_change_that_helps_only_where_data_repeats():
    found = only(settings(WORSE), settings(BETTER, train_data_tokens=20_000))
    assert found.answer == "turns"
    assert found.differs == {"data repetition": "unknown → 50 epochs"}
    assert found.difference == pytest.approx(-0.0215)
    assert found.interval.high < 0
    assert "the effect turns round" in found.words


@pytest.mark.parametrize(
    ("second", "kind", "words"),
    [
        ({"iterations": 800}, "horizon", "400 → 800 steps"),
        ({"qk_gain": 4.0}, "another intervention", "qk_gain: 1.5 → 4"),
        (
            {"scale": "standard", "iterations": 2400},
            "scale",
            "fast (100,000 parameters, 10 tokens each) → "
            "standard (100,000 parameters, 10 tokens each)",
        ),
    ],
)
def test_what_differs_is_named(second, kind, words):
    assert only(settings(WORSE), settings(WORSE, **second)).differs == {kind: words}


def test_two_things_at_once_are_not_told_apart():
    found = only(settings(WORSE), settings(BETTER, iterations=800, qk_gain=4.0))
    assert set(found.differs) == {"horizon", "another intervention"}
    assert "not told which" in found.words


def test_equal_effects_are_the_same():
    found = only(settings(WORSE), settings(list(reversed(WORSE)), iterations=800))
    assert found.answer == "same"


def test_the_report_says_so_in_words_and_numbers(tmp_path):
    report = find_modifiers(
        [
            ("fresh.json", settings(WORSE)),
            ("more.json", settings(BETTER, train_data_tokens=20_000)),
        ],
        alpha=0.05,
        mde=0.005,
    )
    write_file(tmp_path / "modifiers.json", report)
    write_file(tmp_path / "cycle_1" / "raw_runs.json", settings(WORSE))
    page = write_report(tmp_path).read_text()
    assert "“corrupted context” has the opposite effect with another data repetition." in page
    assert "unknown → 50 epochs" in page
    assert 'href="methods.html#modifiers"' in page


def test_the_command_writes_and_refuses(tmp_path, capsys):
    one, other = tmp_path / "a.json", tmp_path / "b.json"
    write_file(one, settings(WORSE))
    write_file(other, settings(BETTER, iterations=800))
    main(results=[one, other], output=tmp_path / "modifiers.json")
    assert "turns round" in capsys.readouterr().out
    assert json.loads((tmp_path / "modifiers.json").read_text())["modifiers"]
    with pytest.raises(InputError, match="two settings"):
        main(results=[one], output=tmp_path / "modifiers.json")
    write_file(other, settings(BETTER, name="another"))
    with pytest.raises(InputError, match="no contrast has results"):
        main(results=[one, other], output=tmp_path / "modifiers.json")
