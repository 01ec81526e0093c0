"""The options of layers: one list for layers, networks, command line and editors."""

import subprocess
import sys
import typing

from elman.layers import LayerKeywords, LayerOptions
from elman.networks.options import NetworkOptions


def test_keywords_for_editors_are_the_options():
    hints = typing.get_type_hints(LayerKeywords)
    fields = LayerOptions.model_fields
    assert hints == {name: field.annotation for name, field in fields.items()}
    assert not LayerKeywords.__required_keys__


def test_networks_take_every_one_of_them():
    for name, field in LayerOptions.model_fields.items():
        assert NetworkOptions.model_fields[name].default == field.default
        assert field.description


def test_reading_them_loads_no_torch():
    code = "import sys, elman.layers, elman.layers.options; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("False", "")


def test_the_command_line_refuses_in_the_same_words(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("t,a\n" + "\n".join(f"{row},{row % 5}" for row in range(60)))
    command = [sys.executable, "-m", "elman", "fit", str(table), "--input", "series:a"]
    command += ["--target", "forecast:a", "--time", "t", "--lookback", "4"]
    for options, message in (
        (["--cell", "gru", "--forget-bias", "1"], "forget_bias=1.0: GRUCell has no forget gate"),
        (["--zoneout", "1.5"], "zoneout: expected a value less than 1, got '1.5'"),
    ):
        result = subprocess.run([*command, *options], capture_output=True, text=True)
        assert result.returncode == 2
        assert message in " ".join(result.stderr.split()), result.stderr
        assert "Traceback" not in result.stderr
