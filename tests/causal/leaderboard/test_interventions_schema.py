"""The JSON Schema that ships is the one of the form, and the form keeps to it."""

import json

import pytest
from pydantic import ValidationError

from scripts.causal.leaderboard.schema import (
    SCHEMA_FILE,
    Ablation,
    Leaderboard,
    Source,
    Submission,
    json_schema,
)


def test_the_schema_that_ships_is_in_step_with_the_form():
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), (
        "write it anew: python -m scripts.causal.leaderboard.schema"
    )


def test_the_schema_names_every_field_as_the_file_does():
    described = json_schema()
    contrast = Ablation(variable="x", from_="a", to="b", delta=0.1, unit="bpb", kind="single",
                        quote=None, source=Source(file="README.md", line=1))  # fmt: skip
    written = Leaderboard(
        source="x", submissions=(Submission(id="a", ablations=(contrast,)),)
    ).model_dump(mode="json")
    submission = written["submissions"][0]
    definitions = described["$defs"]
    assert set(described["properties"]) == set(written)
    assert set(definitions["Submission"]["properties"]) == set(submission)
    assert set(definitions["Ablation"]["properties"]) == set(submission["ablations"][0])
    assert "from" in submission["ablations"][0]


@pytest.mark.parametrize(
    "broken", [{"source": 3}, {"source": "x", "submissions": [{}]}, {"source": "x", "more": 1}]
)
def test_the_form_refuses_what_the_schema_forbids(broken):
    assert json_schema()["additionalProperties"] is False
    with pytest.raises(ValidationError):
        Leaderboard.model_validate({"submissions": [], **broken})
