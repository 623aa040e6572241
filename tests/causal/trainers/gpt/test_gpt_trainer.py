"""The registered trainer: resolving, keys, and whole runs at the tiny scale."""

import ast
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from interventions.catalog import load_catalog
from scripts.causal.files import InputError
from trainers import keys
from trainers.api import RunFailed, RunSpec, StageKind, load_trainer
from trainers.data import open_dataset
from trainers.gpt import trainer as trainer_module
from trainers.gpt.config import gpt_config
from trainers.gpt.init import parameter_count
from trainers.gpt.run import batches_of
from trainers.gpt.scales import SCALES
from trainers.gpt.trainer import GptTrainer
from trainers.workbench import WEIGHTS_FILE

VOCAB = 300


@pytest.fixture(scope="module")
def data(small_data):
    return str(small_data)


@pytest.fixture(scope="module")
def gpt():
    return GptTrainer()


def spec_of(data, *, seed=0, scale="tiny", backend="torch-cpu-float32", **changes):
    config = GptTrainer().resolve(scale, {"vocab_size": VOCAB, **changes})
    return RunSpec("gpt", backend, scale, config, seed, data)


def run(gpt, spec, folder):
    """Every stage in order; results by kind, and the folder of each."""
    results, parent = {}, None
    for plan in gpt.stages(spec):
        output = folder / plan.kind.value
        output.mkdir(parents=True)
        results[plan.kind] = gpt.execute(plan, parent, output)
        parent = output
    return results


def test_it_is_registered():
    assert load_trainer("gpt").name == "gpt"


def test_a_run_end_to_end(gpt, data, tmp_path):
    fractions = []
    spec = spec_of(data)
    train, quantize, evaluate = gpt.stages(spec)
    assert [plan.kind.value for plan in (train, quantize, evaluate)] == [
        "train",
        "quantize",
        "evaluate",
    ]
    assert (train.parent, quantize.parent, evaluate.parent) == (None, train.key, quantize.key)
    for name in ("t", "q"):
        (tmp_path / name).mkdir()
    trained = gpt.execute(train, None, tmp_path / "t", fractions.append)
    packed = gpt.execute(quantize, tmp_path / "t", tmp_path / "q")
    scored = gpt.execute(evaluate, tmp_path / "q", tmp_path / "e")

    config = gpt_config(spec.config)
    assert trained.metrics["parameters"] == parameter_count(config)
    assert trained.metrics["tokens"] == 20 * 512
    assert trained.metrics["flops"] == 20 * gpt.flops_per_step(spec.config)
    assert trained.metrics["seconds"] > 0
    curves = trained.curves
    assert curves["step"] == list(range(1, 21))
    assert len(curves["train_loss"]) == 20
    assert curves["train_loss"][0] == pytest.approx(np.log(VOCAB), abs=0.1)
    assert curves["train_loss"][-1] < curves["train_loss"][0] - 1
    assert curves["val_step"] == [5, 10, 15, 20]
    assert curves["val_tokens"] == [5 * 512, 10 * 512, 15 * 512, 20 * 512]
    assert curves["val_bpb"][-1] < curves["val_bpb"][0]
    assert len(curves["val_bpb_int8"]) == 4
    assert 0 < abs(curves["val_bpb_int8"][-1] - curves["val_bpb"][-1]) < 0.05
    assert fractions[-1] == 1.0
    assert fractions == sorted(fractions)

    assert packed.metrics["artifact_bytes"] == (tmp_path / "q" / "model.int8.zlib").stat().st_size
    gap = scored.metrics["val_bpb"] - trained.metrics["pre_quant_bpb"]
    assert 0 < abs(gap) < 0.02
    weights = load_file(tmp_path / "t" / WEIGHTS_FILE)
    assert sum(value.size for value in weights.values()) == parameter_count(config)
    for result in (trained, packed, scored):
        json.dumps([result.metrics, result.curves], allow_nan=False)


def test_the_same_run_again_is_the_same_to_the_bit(gpt, data, tmp_path):
    spec = spec_of(data, iterations=6)
    first = run(gpt, spec, tmp_path / "1")
    run(gpt, spec_of(data, iterations=3, matrix_lr=0.1, logit_softcap=10.0), tmp_path / "2")
    for name, trainer in (("3", gpt), ("4", GptTrainer())):
        again = run(trainer, spec, tmp_path / name)
        for kind, result in first.items():
            drop = {"seconds", "cpu_seconds"}
            assert {k: v for k, v in result.metrics.items() if k not in drop} == {
                k: v for k, v in again[kind].metrics.items() if k not in drop
            }
            assert result.curves == again[kind].curves
    other = run(gpt, spec_of(data, iterations=6, seed=1), tmp_path / "5")
    assert (
        other[StageKind.TRAIN].curves["train_loss"] != first[StageKind.TRAIN].curves["train_loss"]
    )


def test_one_engine_serves_an_architecture(data, tmp_path, monkeypatch):
    made = []
    real = trainer_module._make_engine
    monkeypatch.setattr(
        trainer_module, "_make_engine", lambda *args: made.append(args) or real(*args)
    )
    gpt = GptTrainer()
    run(gpt, spec_of(data, iterations=2), tmp_path / "1")
    run(gpt, spec_of(data, iterations=3, seed=5, muon_momentum=0.9), tmp_path / "2")
    assert len(made) == 1
    run(gpt, spec_of(data, iterations=2, activation="gelu"), tmp_path / "3")
    assert len(made) == 2


def keys_of(gpt, spec):
    return [plan.key for plan in gpt.stages(spec)]


def test_what_changes_which_key(gpt, data):
    base = keys_of(gpt, spec_of(data))
    assert len(set(base)) == 3
    assert keys_of(gpt, spec_of(data)) == base
    named = RunSpec("gpt", "torch-cpu-float32", "renamed", spec_of(data).config, 0, data)
    assert keys_of(gpt, named) == base
    for other in (
        spec_of(data, seed=1),
        spec_of(data, matrix_lr=0.03),
        spec_of(data, backend="torch-cpu-bfloat16"),
        spec_of(data, backend="mlx-cpu-float32"),
        spec_of(data, val_points=3),
    ):
        assert not set(keys_of(gpt, other)) & set(base)


def test_averaging_and_evaluation_share_the_stages_before_them(gpt, data):
    base = gpt.stages(spec_of(data))

    def kinds_and_shared(**changes):
        plans = gpt.stages(spec_of(data, **changes))
        kinds = " ".join(plan.kind.value for plan in plans)
        return kinds, [plan.key in {other.key for other in base} for plan in plans]

    averaged = ("train average quantize evaluate", [True, False, False, False])
    assert kinds_and_shared(ema=0.95) == averaged
    assert kinds_and_shared(swa=True) == averaged
    assert kinds_and_shared(sliding_window_eval=8) == (
        "train quantize evaluate",
        [True, True, False],
    )
    late = ("train quantize evaluate", [True, True, False])
    assert kinds_and_shared(ttt="lora") == kinds_and_shared(ttt="score_first") == late
    assert kinds_and_shared(ema=0.0, swa=False, sliding_window_eval=0)[1] == [True] * 3
    with pytest.raises(InputError, match="`ema == 0 or not swa` must hold"):
        spec_of(data, ema=0.95, swa=True)
    with pytest.raises(InputError, match=r"`ema in \{0.0, 0.95"):
        spec_of(data, ema=0.9)


@pytest.mark.parametrize("changes", [{"ema": 0.95}, {"swa": True}], ids=["ema", "swa"])
def test_an_average_takes_the_weights_place(gpt, data, tmp_path, changes):
    plain = run(gpt, spec_of(data), tmp_path / "plain")
    averaged = run(gpt, spec_of(data, **changes), tmp_path / "averaged")
    assert averaged[StageKind.TRAIN].curves == plain[StageKind.TRAIN].curves
    trained, kept = (
        load_file(tmp_path / "averaged" / stage / WEIGHTS_FILE) for stage in ("train", "average")
    )
    assert trained.keys() == kept.keys()
    assert any((trained[name] != kept[name]).any() for name in trained)
    measured = averaged[StageKind.AVERAGE].metrics["pre_quant_bpb"]
    assert measured != plain[StageKind.TRAIN].metrics["pre_quant_bpb"]
    final = averaged[StageKind.EVALUATE].metrics
    assert 0 < abs(final["val_bpb"] - measured) < 0.02
    assert final["post_quant_bpb"] == final["val_bpb"]


def test_a_sliding_window_gives_each_token_more_context(gpt, data, tmp_path):
    metrics = run(gpt, spec_of(data, sliding_window_eval=8), tmp_path)[StageKind.EVALUATE].metrics
    assert metrics["val_bpb"] < metrics["post_quant_bpb"]


@pytest.mark.parametrize("ttt", ["score_first", "lora"])
def test_test_time_training_starts_from_the_same_artifact(gpt, data, tmp_path, ttt):
    plain = run(gpt, spec_of(data), tmp_path / "plain")
    changes = {"ttt": ttt, "ttt_chunk_tokens": 256, "ttt_lr": 0.05, "lora_chunk_tokens": 8}
    adapted = run(gpt, spec_of(data, **changes), tmp_path / "adapted")
    assert adapted[StageKind.QUANTIZE] == plain[StageKind.QUANTIZE]
    metrics = adapted[StageKind.EVALUATE].metrics
    assert metrics["post_quant_bpb"] == plain[StageKind.EVALUATE].metrics["val_bpb"]
    assert metrics["val_bpb"] < metrics["post_quant_bpb"] - 0.005


@pytest.mark.parametrize(
    ("module", "ttt", "kept"),
    [
        ("trainers.quantize.int8", "none", [True, False, False]),
        ("trainers.adaptation", "none", [True, True, True]),
        ("trainers.adaptation", "lora", [True, True, False]),
    ],
)
def test_editing_a_stage_keeps_what_is_before_it(gpt, data, monkeypatch, module, ttt, kept):
    base = keys_of(gpt, spec_of(data, ttt=ttt))
    edited = find_spec(module).origin
    read = Path.read_text

    def read_edited(path, *args, **kwargs):
        return read(path, *args, **kwargs) + ("\n# edited" if str(path) == edited else "")

    monkeypatch.setattr(keys.Path, "read_text", read_edited)
    keys.code_version.cache_clear()
    after = keys_of(gpt, spec_of(data, ttt=ttt))
    keys.code_version.cache_clear()
    assert [a == b for a, b in zip(base, after, strict=True)] == kept


def test_a_last_look_at_all_of_validation_is_not_repeated(gpt, data, tmp_path):
    looks = {}
    for tokens in (1024, 10**6):
        result = run(gpt, spec_of(data, val_tokens=tokens), tmp_path / str(tokens))
        looks[tokens] = result[StageKind.TRAIN]
    assert looks[10**6].metrics["pre_quant_bpb"] == looks[10**6].curves["val_bpb"][-1]
    assert looks[10**6].metrics["pre_quant_bpb"] == looks[1024].metrics["pre_quant_bpb"]
    assert looks[1024].metrics["pre_quant_bpb"] != looks[1024].curves["val_bpb"][-1]


def test_a_run_that_diverges_fails_with_its_step(gpt, data, tmp_path, monkeypatch):
    spec = spec_of(data)
    engine, _ = gpt._engine(gpt_config(spec.config), spec.backend)
    monkeypatch.setattr(engine, "step", lambda tokens, settings: float("nan"))
    with pytest.raises(RunFailed, match="nan at step 1"):
        gpt.execute(gpt.stages(spec)[0], None, tmp_path)
    assert not list(tmp_path.iterdir())


def test_running_out_of_memory_is_an_outcome_of_the_run(gpt, data, tmp_path, monkeypatch):
    spec = spec_of(data)
    engine, _ = gpt._engine(gpt_config(spec.config), spec.backend)

    def full(tokens, settings):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")

    monkeypatch.setattr(engine, "step", full)
    with pytest.raises(RunFailed, match="out of memory"):
        gpt.execute(gpt.stages(spec)[0], None, tmp_path)


def test_a_vocabulary_that_is_not_the_datas(gpt, data):
    spec = spec_of(data, vocab_size=1024)
    with pytest.raises(InputError, match=r"`vocab_size` must be the data set's 300"):
        gpt.stages(spec)


@pytest.mark.parametrize("scale", SCALES)
def test_every_intervention_can_be_built_at_every_scale(gpt, scale):
    control = gpt.resolve(scale, {})
    assert gpt.resolve(scale, control) == control
    for intervention in load_catalog().values():
        changed = intervention.apply(control)
        if changed.get("num_kv_heads") == 0:  # half of one
            with pytest.raises(InputError, match="num_kv_heads=0"):
                gpt.resolve(scale, {**control, **changed})
            continue
        if set(changed) <= set(control):
            treatment = gpt.resolve(scale, {**control, **changed})
            assert any(treatment[name] != control[name] for name in changed), intervention.id
            assert gpt.flops_per_step(treatment) > 0


def test_width_goes_to_the_nearest_that_can_be_built(gpt):
    def dim(value):
        return gpt.resolve("baseline", {"model_dim": value})["model_dim"]

    assert [dim(value) for value in (384, 640, 512 * 1.3, 1)] == [384, 640, 672, 16]


def test_a_stride_leaves_half_a_sequence_of_context(gpt):
    def stride(scale, value):
        return gpt.resolve(scale, {"sliding_window_eval": value})["sliding_window_eval"]

    assert [stride("baseline", 64), stride("tiny", 64), stride("tiny", 0)] == [64, 16, 0]


def test_few_steps_mean_few_looks(gpt):
    assert gpt.resolve("tiny", {"iterations": 2})["val_points"] == 2
    with pytest.raises(InputError, match="val_points <= iterations"):
        gpt.resolve("tiny", {"iterations": 2, "val_points": 3})


@pytest.mark.parametrize(
    ("scale", "overrides", "message"),
    [
        ("huge", {}, "no scale 'huge'"),
        ("tiny", {"layers": 3}, "no field 'layers'"),
        ("tiny", {"model_dim": "wide"}, "`model_dim` must be a whole number"),
        ("tiny", {"num_heads": 0}, "`1 <= num_heads <= 256` must hold"),
    ],
)
def test_what_cannot_be_resolved(gpt, scale, overrides, message):
    with pytest.raises(InputError) as error:
        gpt.resolve(scale, overrides)
    assert message in str(error.value)


def test_backends_name_what_they_are(gpt):
    backends = gpt.backends()
    assert "torch-cpu-float32" in backends
    for backend in backends:
        assert all(find_spec(name) for name in gpt.source_modules(backend))
    with pytest.raises(InputError, match="no backend 'jax-cpu'"):
        gpt.source_modules("jax-cpu")


def own_imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node


@pytest.mark.parametrize("backend", ["torch-cpu-float32", "mlx-cpu-float32"])
def test_the_modules_of_a_run_fit_into_one_file(gpt, backend):
    modules, defined = gpt.source_modules(backend), {}
    for position, module in enumerate(modules):
        tree = ast.parse(Path(find_spec(module).origin).read_text())
        for name, node in own_imports(tree):
            if name.partition(".")[0] in ("scripts", "trainers", "interventions"):
                assert isinstance(node, ast.ImportFrom), (module, name)
                assert node in tree.body, f"{module} imports {name} below its top level"
                assert name in modules[:position], f"{module} needs {name} before it"
                assert all(alias.asname is None for alias in node.names)
        for node in tree.body:
            names = []
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):
                names = [
                    n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)
                ]
            elif isinstance(node, ast.AnnAssign):
                names = [node.target.id]
            elif not ast.unparse(node).startswith("if __name__ == '__main__':"):
                allowed = (ast.Import, ast.ImportFrom, ast.Expr)
                assert isinstance(node, allowed), (module, ast.dump(node)[:80])
            for name in names:
                assert name not in defined, f"{name} is in {defined.get(name)} and in {module}"
                defined[name] = module


def test_the_fast_scale_sees_twenty_tokens_for_each_parameter(gpt):
    config = gpt.resolve("fast", {})
    assert config["iterations"] * config["train_batch_tokens"] >= 20 * gpt.parameters(config)


def test_every_intervention_trains(gpt, data, tmp_path):
    control = gpt.resolve("tiny", {"vocab_size": VOCAB, "iterations": 2, "train_batch_tokens": 64})
    for number, intervention in enumerate(load_catalog().values()):
        changed = intervention.apply(control)
        if set(changed) <= set(control):
            config = gpt.resolve("tiny", {**control, **changed})
            spec = RunSpec("gpt", "torch-cpu-float32", "tiny", config, 0, data)
            results = run(gpt, spec, tmp_path / str(number))
            assert np.isfinite(results[StageKind.EVALUATE].metrics["val_bpb"]), intervention.id


def test_a_run_limited_to_its_first_tokens_repeats_them(small_data):
    data = open_dataset(small_data)
    first = data.train_tokens()[0][:129].astype(np.int64)
    windows = {tuple(first[start : start + 33]) for start in range(0, 97, 32)}

    def seen(**changes):
        config = gpt_config(spec_of(str(small_data), **changes).config)
        batches = batches_of(config, data, 0)
        return [tuple(row) for step in range(20) for row in batches.batch(step)]

    limited = seen(train_data_tokens=129)  # four windows, 16 sequences a step
    assert set(limited) == windows
    assert all(limited.count(window) == 80 for window in windows)
    assert seen(train_data_tokens=10**6) == seen()
