"""The referee on whole folders: an honest one keeps every rule, each forgery breaks its own."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from toy_submission import PROGRAM, describe, redescribe, variant, write_submission

from scripts.causal.files import InputError
from scripts.causal.referee.check import RefereeError, check_folder, find_folders, require
from scripts.causal.referee.probes import RUN_RULES, Trial
from scripts.causal.referee.table import all_folders, disagreements, one_folder
from scripts.causal.submission.claims import Claims, Score
from scripts.causal.submission.compact import without_comments, wrap
from scripts.causal.submission.sandbox import Limits
from scripts.causal.submission.verdicts import Report, Reports
from trainers.data import open_dataset


@pytest.fixture(scope="module")
def honest(small_data, tmp_path_factory) -> Path:
    return write_submission(tmp_path_factory.mktemp("toy") / "honest", small_data)


@pytest.fixture
def folder(honest, tmp_path) -> Path:
    return Path(shutil.copytree(honest, tmp_path / "copy"))


@pytest.fixture(scope="module")
def trial(small_data) -> Trial:
    return Trial(open_dataset(small_data), Limits(seconds=60), train_steps=5)


def broken(report: Report) -> set[str]:
    return {one.rule for one in report.failures}


def outcome(report: Report, rule: str) -> str:
    return next(one.outcome for one in report.verdicts if one.rule == rule)


def test_an_honest_folder_keeps_every_rule(honest, trial):
    report = check_folder(honest, trial=trial)
    assert {one.outcome for one in report.verdicts} == {"pass"}, report
    require(report)


def test_without_running_nothing_of_the_folder_is_executed(folder):
    (folder / "train_gpt.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    report = check_folder(folder)
    assert not (folder / "ran").exists()
    assert all(outcome(report, rule) == "cannot tell" for rule in RUN_RULES)
    with pytest.raises(RefereeError):
        require(report)


# --------------------------------------------------------------------------------------------
# One tampering each


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_model_of_other_bytes_is_caught(folder):
    with (folder / "model.npy").open("ab") as file:
        file.write(b"\0")
    assert broken(check_folder(folder)) == {"files as listed", "bytes as stated"}


def test_a_model_of_the_same_size_is_caught(folder):
    data = bytearray((folder / "model.npy").read_bytes())
    data[-1] ^= 1
    (folder / "model.npy").write_bytes(data)
    assert broken(check_folder(folder)) == {"files as listed"}


def test_a_file_more_is_caught(folder):
    (folder / "more_weights.bin").write_bytes(b"w")
    assert broken(check_folder(folder)) == {"files as listed", "bytes as stated"}


def test_bytes_over_the_cap_are_caught_on_disk(folder):
    with (folder / "model.npy").open("ab") as file:
        file.truncate(16_000_000)
    redescribe(folder)  # every document tells the truth about it
    assert broken(check_folder(folder)) == {"bytes under the cap"}


@pytest.mark.parametrize("part", ["**val_bpb", "| 43 |", "| `vocab_size` |", "Trained at"])
def test_another_number_in_the_readme_is_caught(folder, part):
    lines = (folder / "README.md").read_text().split("\n")
    at = next(i for i, line in enumerate(lines) if part in line)
    digit = re.search(r"\d(?=\D*$)", lines[at])
    changed = str((int(digit.group()) + 1) % 10)
    lines[at] = lines[at][: digit.start()] + changed + lines[at][digit.end() :]
    (folder / "README.md").write_text("\n".join(lines))
    assert "README is submission.json's" in broken(check_folder(folder))


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"val_bpb": 1.0}, {"mean over seeds", "one ratio of bpb to nats"}),
        ({"bytes_total": 5}, {"bytes as stated"}),
        ({"author": "Another"}, set()),
        ({"seeds": [43, 42]}, set()),
    ],
)
def test_another_value_in_submission_json_is_caught(folder, change, rules):
    path = folder / "submission.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert broken(check_folder(folder)) >= {"README is submission.json's", *rules}


def test_another_line_of_a_log_is_caught(folder):
    edit(folder / "train_seed43.log", "train_loss:4.0", "train_loss:3.0")
    assert broken(check_folder(folder)) == {"files as listed"}


def test_another_final_line_of_a_log_is_caught(folder):
    log = folder / "train_seed43.log"
    final = log.read_text().splitlines()[-1]
    edit(log, final, final.rpartition(":")[0] + ":0.50000000")
    assert broken(check_folder(folder)) >= {"files as listed", "documents agree"}


def test_a_log_of_another_program_is_caught(folder):
    edit(folder / "train_seed42.log", "CHUNK = 64", "CHUNK = 32")
    assert broken(check_folder(folder)) == {"files as listed", "logs begin with the source"}


def test_a_missing_log_is_caught(folder):
    (folder / "train_seed43.log").unlink()
    assert broken(check_folder(folder)) == {"files as listed", "a log per seed"}


def test_a_link_is_caught(folder, tmp_path):
    (tmp_path / "outside.bin").write_bytes(b"weights")
    (folder / "weights.bin").symlink_to(tmp_path / "outside.bin")
    assert broken(check_folder(folder)) == {"plain files"}


def test_a_forgery_of_all_documents_at_once_is_caught_by_the_ledger(folder, honest):
    stated = json.loads((honest / "submission.json").read_text())["seed_results"]["42"]
    describe(folder, PROGRAM, stated["val_bpb"] * 0.9, stated["val_loss"] * 0.9)
    assert not broken(check_folder(folder))
    ledger = Claims("ledger", seeds={42: Score(stated["val_bpb"], stated["val_loss"])})
    assert broken(check_folder(folder, ledger=ledger)) == {"documents agree"}


def test_a_forgery_of_all_documents_at_once_is_caught_by_running_it(folder, honest, trial):
    stated = json.loads((honest / "submission.json").read_text())["seed_results"]["42"]
    describe(folder, PROGRAM, stated["val_bpb"] - 2e-6, stated["val_loss"])
    assert broken(check_folder(folder, trial=trial)) == {"reproduces its score"}


# --------------------------------------------------------------------------------------------
# Programs that cheat

SCORE = "losses[start : start + CHUNK] = -np.log(counts[chunk] / counts.sum())"
LEARN = "np.add.at(counts, chunk, 1)"


def judged(tmp_path, small_data, trial, *changes) -> dict[str, str]:
    folder = write_submission(tmp_path / "cheat", small_data, variant(*changes))
    report = check_folder(folder, trial=trial)
    return {one.rule: one.reason for one in report.failures}


def test_learning_before_scoring_is_caught(tmp_path, small_data, trial):
    swapped = ((f"        {SCORE}\n", ""), (LEARN, f"{LEARN}\n        {SCORE}"))
    found = judged(tmp_path, small_data, trial, *swapped)
    assert list(found) == ["causal, and scored before learnt from"]
    assert "changes" in found["causal, and scored before learnt from"]


def test_looking_ahead_is_caught(tmp_path, small_data, trial):
    ahead = (SCORE, f"{SCORE} + 1e-4 * np.append(chunk[1:], 0)")
    assert set(judged(tmp_path, small_data, trial, ahead)) == {
        "causal, and scored before learnt from"
    }


def test_training_on_validation_is_caught(tmp_path, small_data, trial):
    cheat = (
        'tokens = shards("fineweb_train_*.bin")',
        'tokens = shards("fineweb_train_*.bin" if options.train_only else "fineweb_val_*.bin")',
    )
    assert set(judged(tmp_path, small_data, trial, cheat)) == {"trains without validation data"}


def test_needing_validation_to_train_is_caught(tmp_path, small_data, trial):
    needs = (
        'tokens = shards("fineweb_train_*.bin")',
        'tokens = shards("fineweb_train_*.bin") + 0 * len(shards("fineweb_val_*.bin"))',
    )
    assert set(judged(tmp_path, small_data, trial, needs)) == {"trains without validation data"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size = byte_counts(targets).sum()", "size = 1.17 * byte_counts(targets).sum()"),
        ("np.save(options.losses, losses.", "np.save(options.losses, 0.9 * losses."),
        ("np.save(options.losses, losses.", "np.save(options.losses, losses[: len(losses) // 2]."),
    ],
    ids=["more bytes", "lower losses", "half of them"],
)
def test_a_score_that_the_losses_do_not_give_is_caught(tmp_path, small_data, trial, old, new):
    assert "counts the text's bytes" in judged(tmp_path, small_data, trial, (old, new))


def test_what_does_not_count_is_not_there_when_it_runs(folder, trial):
    (folder / "train_gpt.py").write_text(
        PROGRAM.replace(
            'counts = np.load("model.npy")', 'open("README.md"); counts = np.load("model.npy")'
        )
    )
    redescribe(folder)
    report = check_folder(folder, trial=trial)
    assert broken(report) == {"reproduces its score"}
    assert "README.md" in report.failures[0].reason


def test_a_program_that_knows_no_such_options_cannot_be_told(folder, trial):
    (folder / "train_gpt.py").write_text("print('trained')\n")
    report = check_folder(folder, trial=trial)
    assert all(outcome(report, rule) == "cannot tell" for rule in RUN_RULES)


def test_a_loader_is_judged_by_what_it_unpacks(folder, trial):
    packed = wrap(without_comments(PROGRAM), title="Toy.")
    (folder / "train_gpt.py").write_text(packed)
    stated = json.loads((folder / "submission.json").read_text())["seed_results"]["42"]
    describe(folder, PROGRAM, stated["val_bpb"], stated["val_loss"])
    assert {one.outcome for one in check_folder(folder, trial=trial).verdicts} == {"pass"}
    other = wrap(without_comments(PROGRAM.replace("CHUNK = 64", "CHUNK = 65")), title="Toy.")
    (folder / "train_gpt.py").write_text(other)
    describe(folder, PROGRAM, stated["val_bpb"], stated["val_loss"])
    assert "logs begin with the source" in broken(check_folder(folder))


# --------------------------------------------------------------------------------------------
# Trees


def test_a_tree_is_every_folder_with_a_description(honest, tmp_path):
    for name in ("b", "a"):
        shutil.copytree(honest, tmp_path / "track" / name)
    (tmp_path / "track" / "readme_only").mkdir()
    (tmp_path / "track" / "readme_only" / "README.md").write_text("# x\n")
    (tmp_path / "README.md").write_text("# about the tree\n")
    names = [path.name for path in find_folders(tmp_path)]
    assert names == ["a", "b", "readme_only"]
    with pytest.raises(InputError, match="no submission here"):
        (tmp_path / "empty").mkdir()
        find_folders(tmp_path / "empty")


def test_hostile_documents_give_verdicts_not_errors(tmp_path):
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "submission.json").write_text("[" * 100_000)
    (folder / "README.md").write_bytes(b"\xff\xfe" + b"| a |" * 1000)
    (folder / "train_gpt.py").write_text("(" * 5000)
    (folder / "train.log").write_bytes(b"final_" * 100_000)
    np.save(folder / "model.npy", np.zeros(3))
    report = check_folder(folder)
    assert outcome(report, "README and submission.json can be read") == "fail"
    assert outcome(report, "bytes under the cap") == "pass"


def test_names_that_speak_to_the_terminal_are_made_plain(folder):
    (folder / "\x1b[2Jcleared.bin").write_bytes(b"w")
    for number in range(200):
        (folder / f"a_rather_long_name_of_a_file_{number}.bin").write_bytes(b"")
    reasons = [one.reason for one in check_folder(folder).verdicts]
    assert not any("\x1b" in reason or len(reason) > 1100 for reason in reasons)


def test_the_tables_say_what_is_confirmed_what_disagrees_and_what_is_missing(folder, honest):
    edit(folder / "train_seed43.log", "train_loss:4.0", "train_loss:3.0")
    reports = Reports(reports=(check_folder(honest), check_folder(folder)))
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(one_folder(reports.reports[1]), disagreements(reports), all_folders(reports))
    text = console.export_text()
    assert re.search(
        r"files as listed +│ fail +│ train_seed43.log: .* other contents on disk", text
    )
    assert re.search(r"│ copy +│ files as listed +│", text)
    assert re.search(r"files as listed +│ +1 │ +1 │ +0 │", text)
    assert re.search(r"reproduces its score +│ +0 │ +0 │ +2 │ not run \(2\)", text)
