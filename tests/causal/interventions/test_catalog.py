"""The catalog: every entry names known variables, and applying one changes only what it says."""

import pytest

from interventions.catalog import catalog_of, has_own_catalog, load_catalog
from interventions.vocabulary import load_variables
from scripts.causal.files import InputError

CONTROL = {variable.id: variable.baseline for variable in load_variables().values()}


def test_the_shipped_catalog_holds_the_promised_interventions():
    catalog = load_catalog()
    by_variable = {}
    for intervention in catalog.values():
        by_variable.setdefault(intervention.variable, []).append(intervention)
    assert len(by_variable["activation"]) == 13
    for variable in ("logit_softcap", "model_dim", "num_layers", "num_kv_heads", "muon_momentum"):
        assert len(by_variable[variable]) >= 2
    assert len(by_variable["mlp_mult"]) == 3
    assert by_variable["rope_base"]


@pytest.mark.parametrize("intervention", load_catalog().values(), ids=lambda entry: entry.id)
def test_every_intervention_changes_its_variable_to_a_value_it_can_take(intervention):
    changed = intervention.apply(CONTROL)
    assert intervention.variable in changed
    assert changed[intervention.variable] != CONTROL[intervention.variable]
    for name, value in changed.items():
        if name in load_variables():
            load_variables()[name].check(value)


def test_what_goes_with_a_change_is_set_with_it(tmp_path):
    text = "[[intervention]]\n" + ENTRY.replace("activation", "qat")
    text += 'set = { qat = true }\nwith = { qat_below = 0.2 }\ncost = "5 %"\nexcludes = ["ema"]\n'
    (tmp_path / "with.toml").write_text(text)
    entry = load_catalog(tmp_path)["x"]
    assert entry.apply({}) == {"qat": True, "qat_below": 0.2}
    assert (entry.cost, entry.excludes) == ("5 %", ("ema",))


def test_an_entry_may_bring_its_control_its_outcome_and_what_its_arms_share(tmp_path):
    text = "[[intervention]]\n" + ENTRY + 'set = { activation = "silu" }\nmatched_by = "steps"\n'
    (tmp_path / "own.toml").write_text(f'{text}control = {{ qat = true }}\noutcome = "spread"\n')
    entry = load_catalog(tmp_path)["x"]
    assert (entry.control, entry.outcome, entry.matched_by) == ({"qat": True}, "spread", "steps")


def test_a_family_adds_variables_of_its_own_to_the_vocabulary(tmp_path):
    variable = '[hue]\nkind = "numeric"\ngroup = "architecture"\nmeaning = "x"\nbaseline = 1\n'
    (tmp_path / "variables.toml").write_text(variable)
    entry = ENTRY.replace('"activation"', '"hue"') + "set = { hue = 2, ema = 0.9 }\n"
    (tmp_path / "entries.toml").write_text(f"[[intervention]]\n{entry}")
    assert load_catalog(tmp_path)["x"].apply({}) == {"hue": 2, "ema": 0.9}


def test_a_family_without_a_folder_has_the_shared_catalog():
    shared = load_catalog()
    assert catalog_of("gpt") == catalog_of("script:train_gpt.py") == catalog_of("..") == shared
    assert not any(has_own_catalog(name) for name in ("gpt", "script:train_gpt.py", "..", ""))


def test_multiply_and_add_keep_whole_numbers_whole():
    catalog = load_catalog()
    assert catalog["model_dim_x0.75"].apply({"model_dim": 512}) == {"model_dim": 384}
    assert catalog["num_layers_minus_1"].apply({"num_layers": 2}) == {"num_layers": 1}


def test_multiplying_what_is_not_a_number_is_refused():
    with pytest.raises(InputError, match="needs a number in field 'model_dim'"):
        load_catalog()["model_dim_x0.75"].apply({"model_dim": "wide"})


ENTRY = 'id = "x"\nvariable = "activation"\nlabel = "X"\nstage = "train"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[intervention]]\n" + ENTRY, "changes nothing"),
        ("[[intervention]]\n" + ENTRY + 'set = { activation = "gelou" }', "must be one of"),
        ("[[intervention]]\n" + ENTRY + "set = { colour = 1 }", "unknown variable 'colour'"),
        (
            "[[intervention]]\n" + ENTRY.replace('"activation"', '"colour"') + "set = {}",
            "unknown variable 'colour'",
        ),
        ("[[intervention]]\n" + ENTRY.replace("train", "tomorrow") + "set = {}", "stage must be"),
        ("[[intervention]]\n" + ENTRY + "sett = 1", "unknown keys"),
        (
            "[[intervention]]\n" + ENTRY + 'set = {qat = true}\nmatched_by = "luck"',
            "matched_by must be",
        ),
        (
            "[[intervention]]\n" + ENTRY + "set = {qat = true}\nwith = {ema = 1}",
            "belongs in `set`",
        ),
        (
            "[[intervention]]\n" + ENTRY + 'set = {qat = true}\nexcludes = ["hue"]',
            "variable 'hue'",
        ),
        ('[[intervention]]\nid = "x"', "missing 'variable'"),
        (2 * ("[[intervention]]\n" + ENTRY + 'set = { activation = "silu" }\n'), "used twice"),
        ("[[intervention", "not valid TOML"),
        ("intervention = 3", "list of tables"),
    ],
)
def test_a_broken_entry_names_the_file_and_the_entry(tmp_path, text, message):
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_catalog(tmp_path)
    assert str(path) in str(caught.value)


def test_an_empty_folder_is_not_a_catalog(tmp_path):
    with pytest.raises(InputError, match="no catalog"):
        load_catalog(tmp_path)
