"""The table of submissions, and what a spreadsheet may not be told."""

import csv
import importlib.util

import pandas as pd
import pytest

from scripts.causal.files import InputError
from scripts.causal.leaderboard import export
from scripts.causal.leaderboard.export import to_frame, write_csv, write_parquet
from scripts.causal.leaderboard.schema import Leaderboard, SeedResult, Submission

BOARD = Leaderboard(
    source="x",
    submissions=(
        Submission(
            id="7/t/b", also=("9/t/b",), pr=7, name="=cmd|' /C calc'!A0", author="ada, b",
            val_bpb=1.125, parent_prs=(3, 4), seeds=(SeedResult(seed=42), SeedResult(seed=1)),
            techniques={"num_layers": 11, "activation": "gelu", "swa": True, "other:odd": True},
            absent=("ema", "other:off"),
        ),
        Submission(id="t/a", techniques={"num_layers": True, "other:odd": 0.5}),
    ),
)  # fmt: skip


def test_one_row_per_submission_and_a_column_per_variable():
    frame = to_frame(BOARD)
    first, second = frame.to_dict("records")
    assert (first["num_layers"], first["activation"], first["swa"], first["other:off"]) == (
        11.0, "gelu", True, False,
    )  # fmt: skip
    assert pd.isna(first["ema"])
    assert first["absent"] == "ema other:off"
    assert (first["parent_prs"], first["seeds"], first["also"]) == ("3 4", "42 1", "9/t/b")
    assert pd.isna(second["num_layers"])  # used, but how many is not said
    assert second["techniques"] == "num_layers other:odd"
    assert (first["other:odd"], second["other:odd"]) == ("true", "0.5")
    assert pd.isna(second["swa"])
    assert frame["num_layers"].dtype == "Float64"


def test_csv_gives_no_formula_to_a_spreadsheet(tmp_path):
    write_csv(tmp_path / "x.csv", BOARD)
    with (tmp_path / "x.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["name"] == "'=cmd|' /C calc'!A0"
    assert (first["author"], first["val_bpb"], first["pr"]) == ("ada, b", "1.125", "7")
    assert (second["name"], second["val_bpb"]) == ("", "")


def test_an_empty_leaderboard_is_a_table_without_rows(tmp_path):
    write_csv(tmp_path / "x.csv", Leaderboard(source="x", submissions=()))
    assert (tmp_path / "x.csv").read_text().count("\n") == 1


def test_without_pyarrow_parquet_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"causal-golf\[parquet\]"):
        write_parquet(tmp_path / "x.parquet", BOARD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet_reads_back_as_the_table(tmp_path):
    write_parquet(tmp_path / "x.parquet", BOARD)
    read = pd.read_parquet(tmp_path / "x.parquet", dtype_backend="numpy_nullable")
    pd.testing.assert_frame_equal(read, to_frame(BOARD), check_dtype=False)
