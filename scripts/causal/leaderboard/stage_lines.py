"""Stage scores that lines hold: lists, two-column metric tables, logs."""

from __future__ import annotations

import re

from scripts.causal.leaderboard.document import Document
from scripts.causal.leaderboard.numbers import scores
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.stage_names import NO_SCORE, Stages, stage_of

_PLANNED = re.compile(r"\btarget|\bexpect|\bestimat|\bproject(?:ed|ion)", re.IGNORECASE)


def stages_of_lines(document: Document) -> Stages:
    """Two-column metric tables, bullet lists and log lines: `Pre-TTT bpb | 1.1208`."""
    stages: Stages = {}
    for block in document.blocks:
        if block.kind == "heading" or "bpb" not in block.text.lower():
            continue
        for number, line in enumerate(block.text.split("\n")):
            if len(line) > 200 or not (found := scores(line)):
                continue
            if block.kind == "row" and line.count(" | ") > 1:
                continue
            bpb = re.search(r"bpb\W{0,12}(\d\.\d{3,10})", line, re.IGNORECASE)
            if not bpb and block.kind != "row":
                continue
            value = float(bpb.group(1)) if bpb else found[0]
            label = line[: line.find(str(bpb.group(1)) if bpb else "|")]
            stage = stage_of(label)
            if (
                stage
                and "bpb" in line.lower()
                and not _PLANNED.search(line)
                and not NO_SCORE.search(label.replace("val_loss", ""))
            ):
                source = Source(file=document.name, line=block.line + number)
                if stage == "raw" and re.search(r"\bstep\b", label, re.IGNORECASE):
                    stages[stage] = (value, source)  # of the training log the last step counts
                else:
                    stages.setdefault(stage, (value, source))
    return stages
