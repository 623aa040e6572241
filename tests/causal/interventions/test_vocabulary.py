"""The vocabulary: its own rules hold, and its errors name the file and the mend."""

from pathlib import Path

import pytest

from interventions.vocabulary import load_variables
from scripts.causal.files import InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "variables.toml"
    path.write_text(text)
    return path


def test_every_variable_has_a_baseline_it_can_take():
    variables = load_variables()
    assert len(variables) >= 50
    for variable in variables.values():
        assert variable.check(variable.baseline) == variable.baseline


def test_levels_bound_a_categorical_value():
    activation = load_variables()["activation"]
    assert activation.check("gelu") == "gelu"
    with pytest.raises(ValueError, match="must be one of"):
        activation.check("gelou")


@pytest.mark.parametrize(
    ("identifier", "value"), [("num_layers", "nine"), ("num_layers", True), ("swa", 1)]
)
def test_a_value_of_the_wrong_type_is_refused(identifier, value):
    with pytest.raises(ValueError, match=identifier):
        load_variables()[identifier].check(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nkind = ", "not valid TOML"),
        ('[a]\nkind = "numeric"', "variable 'a'"),
        ('[a]\nkind = "odd"\ngroup = "data"\nmeaning = "m"\nbaseline = 1', "kind must be one of"),
        ('[a]\nkind="binary"\ngroup="data"\nmeaning="m"\nbaseline=1', "must be true or false"),
    ],
)
def test_a_broken_vocabulary_names_the_file(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        load_variables(path)
    assert str(path) in str(caught.value)
