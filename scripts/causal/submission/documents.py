"""The texts of a submission folder: README.md, requirements.txt and the training logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from scripts.causal.files import canonical_json, digest
from scripts.causal.submission.facts import CAP_BYTES, Effect, Step, SubmissionJson, TrainingLog

RULER = "=" * 99


def readme(facts: SubmissionJson) -> str:
    """Return the README: score and bytes first, then seeds, effects, lineage and how to run."""
    sections = [
        f"# {_text(facts.name)}",
        _summary(facts),
        "## Results per seed",
        _seed_table(facts),
        "## Tested effects",
        _effect_table(facts.effects),
        "## Lineage",
        _lineage(facts),
        "## Configuration",
        _table(
            ("field", "value"),
            [(f"`{name}`", f"`{value}`") for name, value in facts.configuration.items()],
        ),
        "## Run",
        _commands(facts),
        f"SHA-256 of submission.json's contents: `{digest_of(facts)}`",
    ]
    return "\n\n".join(sections) + "\n"


def digest_of(facts: SubmissionJson) -> str:
    """A hash of all that submission.json holds: the README answers for what it leaves out."""
    return digest(canonical_json(facts.model_dump(mode="json")))


def requirements(packages: Mapping[str, str]) -> str:
    """Return requirements.txt: the packages at the versions that evaluated the submission."""
    return "".join(f"{name}=={version}\n" for name, version in packages.items())


def training_log(log: TrainingLog, source: str, model: str) -> str:
    """Return one seed's log: source and versions first, then every step, then the final lines.

    Args:
        source: the program as people read it.
        model: name of the model's file, whose parts name the final line.
    """
    lines = [source.rstrip("\n"), RULER]
    lines += [f"{name}: {value}" for name, value in log.header.items()]
    lines.append(RULER)
    steps, losses = log.curves["step"], log.curves["train_loss"]
    marks = dict(zip(log.curves["val_step"], log.curves["val_bpb"], strict=True))
    for step, loss in zip(steps, losses, strict=True):
        lines.append(f"step:{step:.0f} train_loss:{loss:.6f}")
        if step in marks:
            lines.append(f"step:{step:.0f} val_subset_bpb:{marks[step]:.6f}")
    lines += [
        f"train_seconds:{log.score.train_seconds:.3f}",
        f"pre_quant val_bpb:{log.score.pre_quant_bpb:.8f}",
        f"artifact_bytes:{log.score.artifact_bytes}",
        f"final_{_coded(model)}_roundtrip_exact "
        f"val_loss:{log.score.val_loss:.8f} val_bpb:{log.score.val_bpb:.8f}",
    ]
    return "\n".join(lines) + "\n"


def _coded(model: str) -> str:
    """``model.int8.zlib`` → ``int8_zlib``: how the model is quantized and packed."""
    return "_".join(PurePosixPath(model).name.split(".")[1:]) or "model"


def _summary(facts: SubmissionJson) -> str:
    models = [name for name in facts.files if name.startswith("model")]
    coded = " and ".join(_coded(name).replace("_", " + ") for name in models)
    return (
        f"**val_bpb {facts.val_bpb:.6f}** (mean of {len(facts.seeds)} seeds, after {coded}) · "
        f"**{facts.bytes_total:,} bytes** of {CAP_BYTES:,} "
        f"({facts.bytes_code:,} code + {facts.bytes_model:,} model) · non-record\n\n"
        f"Trained at scale `{facts.scale}` with `{facts.backend}` on {_text(facts.machine)}. "
        "Scores at this scale say nothing by themselves about 8×H100 runs. The model that ships "
        f"is that of seed {facts.seeds[0]}, the first, whatever its score."
    )


def _lineage(facts: SubmissionJson) -> str:
    steps = [f"{number}. {_step(step)}" for number, step in enumerate(facts.lineage, start=1)]
    code = (
        "The program holds, to the letter, the modules that the runs were recorded with."
        if facts.same_code
        else "The modules have changed since the runs were recorded; their result has not."
    )
    return "\n".join(steps) + f"\n\n{code}"


def _step(step: Step) -> str:
    changes = ", ".join(f"`{name}` = `{value}`" for name, value in step.changes.items())
    sources = "; ".join(_text(source) for source in step.sources)
    return (
        _text(step.name)
        + (f": {changes}" if changes else "")
        + (f" (published: {sources})" if sources else "")
    )


def _seed_table(facts: SubmissionJson) -> str:
    rows = [
        (
            str(seed),
            f"{score.val_bpb:.6f}",
            f"{score.pre_quant_bpb:.6f}",
            f"{score.val_loss:.6f}",
            f"{score.artifact_bytes:,}",
            f"{score.train_seconds:.1f}",
        )
        for seed, score in facts.seed_results.items()
    ]
    rows.append(("**mean**", f"**{facts.val_bpb:.6f}**", "", f"{facts.val_loss:.6f}", "", ""))
    return _table(
        ("seed", "val_bpb", "before quantization", "val_loss (nats)", "model bytes", "train s"),
        rows,
    )


def _effect_table(effects: Sequence[Effect]) -> str:
    if not effects:
        return "No effect was confirmed in the campaign behind this submission."
    rows = [
        (
            _text(effect.label),
            effect.verdict.replace("_", " "),
            f"{effect.effect:+.4f}",
            f"{effect.level:.1%}: [{effect.low:+.4f}, {effect.high:+.4f}]",
            str(effect.seeds),
            f"{effect.adjusted_p:.2g}",
        )
        for effect in effects
    ]
    head = ("change", "verdict", "bpb (negative = better)", "interval", "fresh seeds", "Holm p")
    return _table(head, rows)


def _commands(facts: SubmissionJson) -> str:
    return (
        "```bash\n"
        "pip install -r requirements.txt\n"
        "# evaluate the shipped model\n"
        "DATA_PATH=<folder of shards> TOKENIZER_PATH=<tokenizer.model> "
        "python train_gpt.py --eval\n"
        "# train again\n"
        f"SEED={facts.seeds[0]} DATA_PATH=<folder of shards> TOKENIZER_PATH=<tokenizer.model> "
        "python train_gpt.py --output run\n"
        "```"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _text(value: str) -> str:
    """Plain text that cannot open a tag, a table cell or a link in Markdown."""
    cleaned = " ".join(value.split())
    for mark in "\\`*_[]<>|":
        cleaned = cleaned.replace(mark, "\\" + mark)
    return cleaned
