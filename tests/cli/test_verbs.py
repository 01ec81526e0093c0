"""The command as a whole: help, imports, and the verbs beside fitting and forecasting."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from elman.cli import VERBS
from elman.config import Config

HEAVY = ("torch", "polars", "matplotlib", "pydantic", "numpy")


def modules_after(code: str) -> set[str]:
    """Return the modules that an interpreter holds after `code`."""
    report = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    ran = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=60
    )
    return set(ran.stderr.split())


class TestHelp:
    def test_names_every_verb_with_what_it_does(self, elman):
        outcome = elman("--help")
        assert outcome.status == 0
        for verb, summary in VERBS.items():
            assert re.search(rf"^\s+{verb}\s+{re.escape(summary[:30])}", outcome.out, re.MULTILINE)
        assert elman().out == outcome.out

    @pytest.mark.parametrize("words", ["elman.cli.run(['--help'])", "elman.Model.__name__"])
    def test_the_probe_would_see_what_is_loaded(self, words):
        loaded = modules_after(f"import elman, elman.cli\n{words}")
        assert ("torch" in loaded) == ("Model" in words)

    def test_loads_nothing_heavy(self):
        assert not modules_after("import elman.cli\nelman.cli.run(['--help'])") & set(HEAVY)

    @pytest.mark.parametrize("verb", VERBS)
    def test_of_a_verb_loads_nothing_heavy_either(self, verb):
        loaded = modules_after(f"import elman.cli\nelman.cli.run(['{verb}', '--help'])")
        assert f"elman.cli.{verb}" in loaded
        assert not loaded & set(HEAVY) - {"pydantic"}  # the options are made of it

    def test_importing_the_package_loads_nothing_heavy(self):
        loaded = modules_after("import elman")
        assert "elman" in loaded
        assert not loaded & {*HEAVY, "typer", "rich"}

    @pytest.mark.parametrize("verb", [*VERBS, "data list", "data get"])
    def test_describes_every_option_and_argument(self, elman, verb):
        outcome = elman(*verb.split(), "--help")
        assert outcome.status == 0
        listed = re.split(r"^(?:Options|Arguments):\n", outcome.out, flags=re.MULTILINE)[1:]
        assert listed
        for block in listed:
            block = block.partition("\n\n")[0]  # an epilogue may follow
            entries = re.split(r"^  (?=\S)", block, flags=re.MULTILINE)[1:]
            for entry in entries:
                name, *words = re.split(r"\s{2,}", entry.strip(), maxsplit=1)
                assert words, f"{verb}: {name!r} has no description"
                assert len(words[0]) > 4, entry

    @pytest.mark.parametrize("verb", ["fit", "check"])
    def test_lists_every_option_of_the_configuration(self, elman, verb):
        text = elman(verb, "--help").out
        for name, field in Config.model_fields.items():
            if name == "table":
                continue
            spelling = "--input" if name == "inputs" else f"--{name.replace('_', '-')}"
            assert re.search(rf"{spelling}\b", text), spelling
            assert " ".join(field.description.split())[:20] in " ".join(text.split())

    def test_version(self, elman):
        import elman as package

        assert elman("--version").out == f"elman {package.__version__}\n"


class TestCheck:
    @pytest.fixture
    def options(self, small):
        """What `fit` takes."""
        return small

    def test_finds_nothing_in_a_good_table(self, elman, trained, options):
        outcome = elman("check", trained / "weekly.csv", *options)
        assert outcome.status == 0
        assert outcome.out.endswith("nothing found that would spoil training\n")
        assert outcome.err == ""

    def test_lists_what_would_spoil_training_worst_first(
        self, elman, weekly_frame, options, tmp_path
    ):
        rides = pl.when(pl.int_range(150) == 19).then(None).otherwise("rides")
        bad = weekly_frame.with_columns(rides=rides, rain=pl.lit("3.5"))
        bad = bad.with_columns(
            rain=pl.when(pl.int_range(150) == 30).then(pl.lit("wet")).otherwise("rain")
        )
        bad = pl.concat([bad, bad[[7]]])
        bad.write_csv(tmp_path / "bad.csv")
        outcome = elman("check", tmp_path / "bad.csv", *options)
        assert outcome.status == 1
        lines = outcome.out.splitlines()
        assert "row 31, column 'rain': expected a finite number, got 'wet'" in lines[0]
        assert lines[0].startswith("error: ")
        assert lines[-1].startswith(f"{tmp_path / 'bad.csv'}: 1 error")
        assert list(tmp_path.iterdir()) == [tmp_path / "bad.csv"]  # it trains nothing

    def test_several_findings_of_each_kind(self, elman, weekly_frame, options, tmp_path):
        rides = pl.when(pl.int_range(150) == 19).then(None).otherwise("rides")
        bad = weekly_frame.with_columns(rides=rides, rain=pl.lit(None, pl.Float64))
        pl.concat([bad, bad[[7]]]).write_csv(tmp_path / "bad.csv")
        lines = elman("check", tmp_path / "bad.csv", *options).out.splitlines()
        severities = [line.split(":")[0] for line in lines[:-1]]
        assert severities.count("error") == 2
        assert severities.count("warning") >= 1
        assert severities == sorted(severities)  # error, note, warning: no notes here
        assert "row 20" in "\n".join(lines)

    def test_warnings_alone_are_no_failure(self, elman, weekly_frame, options, tmp_path):
        weekly_frame.with_columns(rain=pl.lit(2.0)).write_csv(tmp_path / "flat.csv")
        outcome = elman("check", tmp_path / "flat.csv", *options)
        assert outcome.status == 0
        assert "column 'rain' is constant over the training span: 2" in outcome.out


class TestData:
    def test_list_names_every_set_with_its_licence(self, elman):
        from elman.data.datasets import DATASETS

        out = elman("data", "list").out
        for name, dataset in DATASETS.items():
            assert re.search(rf"^{name}$", out, re.MULTILINE)
            assert dataset.licence in out

    def test_goog_is_matplotlibs(self, elman, tmp_path):
        from pathlib import Path

        import matplotlib

        outcome = elman("data", "get", "goog", "--to", tmp_path)
        assert outcome.out == f"{tmp_path / 'goog.csv'}\n"
        frame = pl.read_csv(tmp_path / "goog.csv")
        with np.load(Path(matplotlib.get_data_path(), "sample_data/goog.npz")) as archive:
            prices = archive["price_data"]
        assert frame["close"].to_list() == prices["close"].tolist()
        assert frame["date"].to_list() == prices["date"].astype(str).tolist()

    def test_mackey_glass_follows_its_equation(self, elman, tmp_path):
        assert elman("data", "get", "mackey_glass", "--to", tmp_path).status == 0
        frame = pl.read_csv(tmp_path / "mackey_glass.csv")
        assert frame.shape == (3000, 1)
        assert 0.2 < frame["x"].min() < frame["x"].max() < 1.5

    def test_a_local_copy_serves(self, elman, public_data, tmp_path):
        assert elman("data", "get", "stocks", "--to", tmp_path).status == 0
        published = (public_data / "stocks/stockdata.csv").read_bytes()
        assert (tmp_path / "stocks.csv").read_bytes() == published

    def test_a_local_copy_that_is_another_file_is_refused(self, elman, tmp_path, monkeypatch):
        (tmp_path / "stocks").mkdir()
        (tmp_path / "stocks/stockdata.csv").write_text("Date,MSFT\n")
        monkeypatch.setenv("ELMAN_DATA", str(tmp_path))
        outcome = elman("data", "get", "stocks", "--to", tmp_path / "here")
        assert outcome.status == 2
        assert "expected SHA-256 60bf505f" in outcome.line
        assert not (tmp_path / "here/stocks.csv").exists()


def test_info_names_versions_devices_and_engines(elman):
    import torch

    out = elman("info").out
    assert f"torch {torch.__version__.partition('+')[0]}" in out
    assert re.search(r"devices: .*cpu", out)
    assert re.search(r"^  reference\s+can run$", out, re.MULTILINE)
    assert re.search(r"^  aten\s+can run$", out, re.MULTILINE)


def test_demo_compares_the_cells_on_both_series(elman, tmp_path, monkeypatch):
    import elman.demo as demo

    brief = tuple(
        demo.Example(e.dataset, e.title, e.about, e.target, e.options | {"epochs": 1})
        for e in demo.EXAMPLES
    )
    monkeypatch.setattr(demo, "EXAMPLES", brief)
    monkeypatch.setattr(demo, "SHARED", {"hidden": 4, "seed": 0})
    folder = tmp_path / "demo"
    outcome = elman("demo", "--out", folder)
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[-1].endswith(f"report: {folder / 'report.html'}")
    for example in brief:
        assert example.title in outcome.out
        for cell in demo.CELLS:
            assert (folder / f"{example.dataset}-{cell}/model.json").is_file()
    assert outcome.out.count("last value") >= 2
    assert (folder / "report.html").stat().st_size > 10_000
