"""The texts of a submission folder: README.md and the training logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scripts.causal.submission.facts import CAP_BYTES, Effect, SubmissionJson, TrainingLog


def readme(facts: SubmissionJson, effects: Sequence[Effect], changes: Mapping[str, object]) -> str:
    """Return the README: score and bytes first, then seeds, tested effects and how to run."""
    sections = [
        f"# {_text(facts.name)}",
        _summary(facts, changes),
        "## Results per seed",
        _seed_table(facts),
        "## Tested effects",
        _effect_table(effects),
        "## Configuration",
        _table(
            ("field", "value"),
            [(f"`{name}`", f"`{value}`") for name, value in facts.configuration.items()],
        ),
        "## Run",
        _commands(facts),
    ]
    return "\n\n".join(sections) + "\n"


def training_log(log: TrainingLog, source: str) -> str:
    """Return one seed's log: source and versions first, then every step, then the final lines."""
    ruler = "=" * 99
    lines = [source.rstrip("\n"), ruler]
    lines += [f"{name}: {value}" for name, value in log.header.items()]
    lines.append(ruler)
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
        "final_int8_zlib_roundtrip_exact "
        f"val_loss:{log.score.val_loss:.8f} val_bpb:{log.score.val_bpb:.8f}",
    ]
    return "\n".join(lines) + "\n"


def _summary(facts: SubmissionJson, changes: Mapping[str, object]) -> str:
    changed = ", ".join(f"`{name}` = `{value}`" for name, value in changes.items())
    return (
        f"**val_bpb {facts.val_bpb:.6f}** (mean of {len(facts.seeds)} seeds, after int8 + zlib) · "
        f"**{facts.bytes_total:,} bytes** of {CAP_BYTES:,} "
        f"({facts.bytes_code:,} code + {facts.bytes_model:,} model) · non-record\n\n"
        f"Trained at scale `{facts.scale}` with `{facts.backend}` on {_text(facts.machine)}. "
        + (
            f"Against the baseline at that scale: {changed}."
            if changed
            else "It is the baseline at that scale, unchanged."
        )
        + " Scores at this scale say nothing by themselves about 8×H100 runs."
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
