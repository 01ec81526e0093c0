"""The configuration: one flat list of options, the same in YAML, Python and on the command line."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from elman.config import FREE, GROUPS, Config, read_config
from elman.errors import InputError
from elman.options import option

REQUIRED = {"inputs": "series:a", "target": "forecast:a"}


def config(**values) -> Config:
    return Config.parse(REQUIRED | values, "test")


def written(tmp_path, text: str):
    path = tmp_path / "fit.yaml"
    path.write_text(text)
    return path


def test_joins_every_group_without_a_name_twice():
    names = []
    for group in GROUPS:
        above = [base for base in GROUPS if base is not group and issubclass(group, base)]
        inherited = {name for base in above for name in base.model_fields}
        names += [name for name in group.model_fields if name not in inherited]
    assert len(names) == len(set(names))
    assert set(Config.model_fields) == {*names, "table", "valid_table", "inputs", "target"}


def test_an_option_that_is_new_and_at_its_default_leaves_the_digest_as_it_was():
    class Later(Config):  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of a version to come."""

        depth: int = option(3, "Something new.")

    assert Later.parse(REQUIRED, "test").sha256 == config().sha256
    assert Later.parse(REQUIRED | {"depth": 4}, "test").sha256 != config().sha256
    assert config(hidden=65).sha256 != config().sha256


def test_every_option_says_what_it_is_for():
    for name, field in Config.model_fields.items():
        assert field.description, name
        assert field.description.endswith((".", "first date.")), name


@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "horizon": st.integers(1, 10**6),
            "learning_rate": st.floats(1e-300, 1e300),
            "known": st.lists(st.text("abc:-# '\"é", min_size=1).map(str.strip).filter(bool)),
            "time": st.none() | st.sampled_from(["date", "no", "2020", "null", "a: b", "täglich"]),
            "quantiles": st.lists(st.integers(1, 999).map(lambda q: q / 1000), unique=True),
            "valid": st.sampled_from(["0.15", "200", "2019-01-01", "1e-2"]),
            "seed": st.integers(0, 2**63 - 1),
            "stats": st.booleans(),
        },
    )
)
def test_survives_being_written_and_read(tmp_path_factory, values):
    one = config(**values)
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(one.to_yaml(), encoding="utf-8")
    again = Config.parse(read_config(path), str(path))
    assert again == one
    assert again.sha256 == one.sha256
    assert again.to_yaml() == one.to_yaml()


@pytest.mark.parametrize("name", sorted(FREE))
def test_a_run_may_train_longer_and_elsewhere_without_being_another(name):
    new = {"epochs": 7, "device": "cpu", "threads": 2, "checkpoint_seconds": 1.5}
    assert config(**{name: new.get(name, "other.csv")}).sha256 == config().sha256


@pytest.mark.parametrize(
    "change",
    [
        {"nonlinearity": "relu"},
        {"learning_rate": 0.002},
        {"target": "forecast:b"},
        {"seed": 1},
        {"known": "b"},
        {"valid": "0.2"},
    ],
)
def test_any_other_option_makes_another_run(change):
    assert config(**change).sha256 != config().sha256


def test_lists_are_written_as_lists_or_with_commas():
    assert config(known="a, b,").known == config(known=["a", "b"]).known == ("a", "b")
    assert config(calendar="hour, month").calendar == ("hour", "month")


def test_the_median_is_always_among_the_quantiles():
    assert config(quantiles="0.9,0.1").quantiles == (0.1, 0.5, 0.9)
    assert config(quantiles=[0.5, 0.2]).quantiles == (0.2, 0.5)
    assert config(quantiles=0.5).quantiles == (0.5,)
    assert config(quantiles="").quantiles == ()


@pytest.mark.parametrize("quantiles", ["0.1,0.1", "0.1,0.10000001"])
def test_quantiles_of_one_name_are_refused(quantiles):
    with pytest.raises(InputError, match=r"each quantile is given once, got 0\.1, 0\.1"):
        config(quantiles=quantiles)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("hidden", 65_536), ("layers", 256), ("batch_size", 10**6), ("horizon", 10**6),
        ("lookback", 10**6), ("period", 10**6), ("epochs", 10**9), ("patience", 10**9),
        ("warmup", 10**9), ("threads", 256),
    ],
)  # fmt: skip
def test_whole_numbers_end_somewhere(name, most):
    assert getattr(config(**{name: most}), name) == most
    for more in (most + 1, "1" + 30 * "0", 10**400):
        with pytest.raises(InputError, match=rf"{name}: expected a value less than"):
            config(**{name: more})


def test_dates_and_numbers_of_yaml_become_what_the_command_line_gives(tmp_path):
    text = "inputs: series:a\ntarget: forecast:a\nvalid: 2019-01-01\ntest: 200\nsince: 2016\n"
    read = Config.parse(read_config(written(tmp_path, text)), "test")
    assert (read.valid, read.test, read.since) == ("2019-01-01", "200", "2016")


def test_hyphens_are_as_good_as_underscores(tmp_path):
    assert read_config(written(tmp_path, "learning-rate: 0.1\n")) == {"learning_rate": 0.1}


def test_input_is_as_good_as_inputs(tmp_path):
    assert read_config(written(tmp_path, "input: series:a\n")) == {"inputs": "series:a"}


def test_a_lone_number_is_a_list_and_null_is_no_test_span(tmp_path):
    text = "input: series:a\ntarget: forecast:a\nquantiles: 0.5\ntest: null\n"
    read = Config.parse(read_config(written(tmp_path, text)), "test")
    assert (read.quantiles, read.test) == ((0.5,), "0")
    with pytest.raises(InputError, match="valid: expected a valid string, got None"):
        config(valid=None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\n", "not YAML: .*line 1"),
        ("a: 1\nb: 2\na: 3\n", "'a' stands there twice; remove one"),
        ("batch-size: 1\nbatch_size: 2\n", "'batch-size' and 'batch_size' are one option"),
        ("inputs: series:a\ninput: series:b\n", "'inputs' and 'input' are one option"),
        ("- a\n", "expected lines of `option: value`, got list"),
        ("1: 2\n", "expected lines of `option: value`, got dict"),
        ("", "got NoneType"),
        ("!!python/object:os.system {}\n", "not YAML"),
    ],
)
def test_what_is_no_list_of_options_is_refused(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=words) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no\.yaml: no such file \(from --config\)"):
        read_config(tmp_path / "no.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary\.yaml: cannot be read"):
        read_config(tmp_path / "binary.yaml")


def test_defaults_are_valid_themselves():
    """Defaults are not validated when used, so they are here."""
    plain = config()
    assert Config.parse(plain.model_dump(), "test") == plain
    assert yaml.safe_load(plain.to_yaml())["quantiles"] == []
