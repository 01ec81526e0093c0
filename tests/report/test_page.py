"""The report's page: what a reader finds on it, whatever the run."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from elman.errors import InputError
from elman.report import write_report

SECTIONS = [
    "Summary",
    "The data",
    "How training went",
    "Forecasts against the truth",
    "Scores",
    "Residuals",
    "Worst windows",
    "Configuration",
    "Versions and how to reproduce",
]


class Outline(HTMLParser):
    """Collects ids, scripts, addresses and unclosed elements."""

    VOID = frozenset({"meta", "br", "path", "rect", "use", "image", "circle"})

    def __init__(self):
        super().__init__()
        self.ids, self.tags, self.open, self.links, self.loads = [], set(), [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self._attributes(attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self._attributes(attrs)

    def _attributes(self, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "xlink:href", "src"):
                self.links.append(value)

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        assert self.open, tag
        assert self.open.pop() == tag


def outline(text: str) -> Outline:
    parser = Outline()
    parser.feed(text)
    return parser


def section(text: str, heading: str) -> str:
    """Return the HTML of one section."""
    found = re.search(rf"<h2>{heading}</h2>(.*?)</section>", text, re.DOTALL)
    assert found, heading
    return found[1]


def rows_of(text: str, caption: str) -> list[list[str]]:
    """Return the body cells of the table with this caption, markup kept."""
    table = re.search(
        rf"<caption>{re.escape(caption)}[^<]*</caption>(.*?)</table>", text, re.DOTALL
    )
    assert table, caption
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table[1].split("<tbody>")[1], re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]


@pytest.mark.parametrize("name", ["single", "fortnight", "panel", "aborted"])
def test_every_page_is_sound_and_offline(pages, name):
    found = outline(pages[name])
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in found.links)
    assert {link[1:] for link in found.links if link[0] == "#"} <= set(found.ids)
    assert not {"script", "link", "iframe", "img"} & found.tags
    assert "@import" not in pages[name]
    for heading in SECTIONS:
        assert section(pages[name], heading)


@pytest.mark.parametrize("name", ["single", "fortnight", "panel"])
def test_every_drawing_says_what_is_seen(pages, name):
    drawings = re.findall(r'<svg class="plot[^>]*>(.{300})', pages[name], re.DOTALL)
    assert len(drawings) > 10
    for drawing in drawings:
        words = re.match(r'<title id="\w+-t">[^<]+</title><desc id="\w+-d">([^<]+)', drawing)
        assert words, drawing
        assert re.search(r"\d", words[1]) or "dashed line" in words[1]


def test_colours_follow_the_scheme(pages):
    drawn = "".join(re.findall(r'<svg class="plot.*?</svg>', pages["single"], re.DOTALL))
    assert "var(--model)" in drawn
    assert "var(--truth)" in drawn
    assert not re.search(r'style="[^"]*#[0-9a-f]{6}', drawn)
    assert "prefers-color-scheme: dark" in pages["single"]


def test_the_verdict_stands_word_for_word(folders, pages):
    verdict = json.loads((folders["single"] / "model.json").read_text())["verdict"]
    assert f'<p class="verdict good">{verdict}</p>' in html.unescape(pages["single"])


def test_a_lost_contest_is_shown_as_lost(pages):
    assert '<p class="verdict bad">' in pages["panel"]
    assert "does not beat" in section(pages["panel"], "Summary")
    tile = re.search(r'<div class="tile bad">(.*?)\n', pages["panel"])
    assert tile
    assert "higher" in tile[1]


def test_one_target_won_and_one_lost_is_neither(pages):
    assert '<p class="verdict note">' in pages["fortnight"]


def test_tiles_carry_the_scores(folders, pages):
    scores = json.loads((folders["single"] / "model.json").read_text())["scores"]
    text = section(pages["single"], "Summary")
    for split in ("valid", "test"):
        rows = [s for s in scores if s["split"] == split and s["step"] == 0]
        own = next(s["mae"] for s in rows if s["kind"] == "model")
        best = min(s["mae"] for s in rows if s["kind"] == "baseline")
        assert f'<div class="value">{own:,.0f}</div>' in text
        assert f"seasonal naive (7 days), {best:,.0f}; {1 - own / best:.0%} lower" in text


def test_scores_best_in_bold(pages):
    for target, span in (("bus", "validation"), ("rail", "validation"), ("rail", "test")):
        rows = rows_of(pages["fortnight"], f"{target}, {span} span")
        assert [row[0] for row in rows] == ["lstm", "seasonal naive (7 days)", "last value"]
        for column in range(1, 5):
            cells = [row[column] for row in rows]
            values = [float(re.sub(r"<[^>]+>|,", "", cell)) for cell in cells]
            bold = [value for value, cell in zip(values, cells, strict=True) if "<strong>" in cell]
            assert bold
            assert set(bold) == {min(values)}


def test_a_score_no_rival_has_is_not_bold(pages):
    rows = rows_of(pages["fortnight"], "bus, validation span")
    assert re.fullmatch(r"[\d,]+", rows[0][5])
    assert rows[1][5] == "–"
    assert "Coverage should be 80%" in pages["fortnight"]


def test_groups_top_and_bottom(pages):
    rows = rows_of(pages["panel"], "sales by group, validation span")
    assert len(rows) == 10
    assert rows[0][0] == "shop 01"
    assert "<strong>" in rows[0][1]
    assert rows[-1][0] == "shop 12"
    assert "<strong>" in rows[-1][2]
    assert rows[0][3].startswith("−")
    assert rows[-1][3].startswith("+")
    assert "Of 12 groups: best shop 01, median shop" in pages["panel"]


def test_the_data_its_spans_and_findings(pages):
    text = section(pages["single"], "The data")
    assert rows_of(text, "Splits") == [
        ["training", "2001-01-01", "2002-08-23", "600"],
        ["validation", "2002-08-24", "2003-01-20", "150"],
        ["test", "2003-01-21", "2003-06-19", "150"],
    ]
    assert text.count("fill: var(--valid)") == 2  # wide and narrow
    assert text.count("fill: var(--test)") == 2
    for word in ("training", "validation", "test"):
        assert re.search(rf"<text [^>]*>{word}</text>", text)
    kinds = re.findall(r'<li class="(\w+)"><span class="severity">', text)
    assert kinds == ["error", "warning", "note"]
    assert "What to do: fill them or drop rows" in text
    assert "900 values from 2001-01-01 to 2003-06-19." in text
    assert "predictions.csv" not in text


def test_without_series_the_page_says_what_it_draws(tmp_path, makers):
    text = write_report(makers["single"]().write(tmp_path / "run")).read_text()
    drawn = section(text, "The data")
    assert "Drawn from predictions.csv, so only the spans that were forecast are seen" in drawn
    assert "300 values from 2002-08-24 to 2003-06-19." in drawn
    assert not re.search(r"<text [^>]*>training</text>", drawn)


def test_training(pages):
    text = section(pages["single"], "How training went")
    assert (
        "Validation loss, taken at the last step of each window, was lowest at epoch 31: 0.102."
        in text
    )
    assert "After that it rose by 21%: the network began to overfit." in text
    assert "The weights of epoch 31 were kept." in text
    assert "<text " in text
    assert text.count(">best: epoch 31</text>") == 1
    for words in ("3 min 20 s", "early stopping: no better for 9 epochs", "2,346"):
        assert words in text
    assert "Learning rate by epoch: between 0.0005 and 0.001, 0.0005 at the end." in text


def test_horizon_is_shown_only_when_there_is_one(pages):
    assert "Error by horizon step" not in pages["single"]
    text = section(pages["fortnight"], "Error by horizon step")
    assert re.search(r"lstm is better at \d+ of 14 steps", text)
    assert "Above the picture: last value" in text


def test_forecasts_name_step_band_and_baseline(pages):
    text = section(pages["fortnight"], "Forecasts against the truth")
    assert "bus, validation: 14 steps ahead" in text
    assert "10% to 90% quantiles" in text
    assert text.count("forecasts from single origins") == 4
    assert len(re.findall(r'<p class="name">from 2002-', text)) == 24


def test_worst_windows_are_the_worst(tmp_path, makers):
    maker = makers["single"]()
    folder = maker.write(tmp_path / "run")
    lines = (folder / "predictions.csv").read_text().splitlines()
    parts = lines[40].split(",")
    parts[7] = str(float(parts[6]) - 500_000)
    lines[40] = ",".join(parts)
    (folder / "predictions.csv").write_text("\n".join(lines) + "\n")
    text = section(write_report(folder).read_text(), "Worst windows")
    titles = re.findall(r'<p class="name">(.*?)</p>', text)
    assert len(titles) == 6
    assert titles[0].startswith(f"at {parts[4][:10]} · validation: error 500,000 (")
    errors = [float(re.search(r"error ([\d,]+)", t)[1].replace(",", "")) for t in titles]
    assert errors == sorted(errors, reverse=True)


def test_configuration_and_how_to_run_it_again(pages):
    text = section(pages["single"], "Configuration")
    assert "<dt>learning_rate</dt><dd>0.001</dd>" in text
    assert "<dt>known</dt><dd>–</dd>" in text
    text = section(pages["single"], SECTIONS[-1])
    assert "<pre><code>elman fit --config config.yaml</code></pre>" in text
    assert "<dt>torch</dt><dd>2.13.0</dd>" in text
    assert "<dt>Engine</dt><dd>aten</dd>" in text
    assert "ab12" * 16 in text


def test_a_stopped_run_has_a_page_that_says_so(pages):
    text = pages["aborted"]
    assert "This run has no verdict: it holds no scores." in text
    assert "model.json is absent: the run has not finished, so there are no scores." in text
    assert "1 epoch recorded; training did not finish." in text
    assert "There are no forecasts in the run folder." in text
    assert "<dt>train loss</dt><dd>0.756</dd>" in text


def test_a_hostile_name_is_only_text(tmp_path, makers):
    name = '<script>alert("$x$ #0072b2")</script> & id="f1-x"'
    maker = makers["single"](steps=400)
    maker.truth = {("", name): maker.truth[("", "rail")]}
    maker.noise = {("", name): 20_000}
    maker.name = "</title><script>"
    text = write_report(
        maker.write(tmp_path / "run"), series=makers["series_of"](maker)
    ).read_text()
    found = outline(text)
    assert "script" not in found.tags
    assert len(found.ids) == len(set(found.ids))
    assert html.escape(name, quote=False) in html.unescape(text).replace("&", "&amp;").replace(
        "<", "&lt;"
    ).replace(">", "&gt;")
    # In the drawing it is whole too: no mathematics, no colour turned into a variable.
    assert '&lt;script&gt;alert("$x$ #0072b2")' in text


def test_the_same_run_gives_the_same_bytes(tmp_path, makers, pages):
    maker = makers["panel"]()
    folder = maker.write(tmp_path / "run")
    text = write_report(folder, series=makers["series_of"](maker)).read_text(encoding="utf-8")
    assert text == pages["panel"]
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.yaml",
        "metrics.jsonl",
        "model.json",
        "predictions.csv",
        "report.html",
    ]


def test_twenty_thousand_rows_make_a_small_page(tmp_path, makers):
    maker = makers["single"](steps=20_600)
    maker.valid, maker.test = (600, 10_600), (10_600, 20_600)
    folder = maker.write(tmp_path / "run")
    path = write_report(folder, series=makers["series_of"](maker))
    assert path.stat().st_size < 1_000_000
    text = path.read_text()
    assert "1 step ahead, the last 200 steps" in text
    assert "Each point is the mean of about 100 steps." in text


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, makers, monkeypatch):
    folder = makers["aborted"](tmp_path / "run")
    (folder / "report.html").write_text("old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("elman.files.os.fsync", full)
    with pytest.raises(InputError, match=r"report\.html: no room left to write it \(No space"):
        write_report(folder)
    assert (folder / "report.html").read_text() == "old"
    assert not list(folder.glob("*.tmp"))


def test_constant_and_missing_values_draw(tmp_path, makers):
    """A flat series, a perfect forecast, epochs without a number: no division by zero."""
    maker = makers["single"](steps=120)
    maker.valid, maker.test = (60, 90), (90, 120)
    maker.truth = {("", "rail"): np.full(120, 5.0)}
    maker.noise = {("", "rail"): 0.0}
    folder = maker.write(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 41, "train_loss": NaN, "valid_loss": null, "learning_rate": 0.001}\n')
    text = write_report(folder).read_text()
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL).lower().split()
    assert outline(text).open == []


HEAD = "split,group,origin,step,time,target,truth,forecast,baseline"
FUTURE = [f"future,{g},2001-01-02,1,2001-01-03,rail,,5,4" for g in "abcde"]
ONE = ["test,,2001-01-02,1,2001-01-03,rail,4,5,4"]
SHORT = [f"test,,{n},1,{n + 1},rail,{n % 3},{n % 2},1" for n in range(5)]
NO_BASELINE = [f"valid,,{n},1,{n + 1},rail,{n % 3},{n % 2}," for n in range(60)]


@pytest.mark.parametrize(
    ("rows", "horizon"),
    [(FUTURE, 14), (ONE, 1), (SHORT, 14), (NO_BASELINE, 1), (["x"], 1)],
)
def test_scant_predictions_make_a_page(tmp_path, rows, horizon):
    (tmp_path / "config.yaml").write_text(f"horizon: {horizon}\ntarget: forecast:rail\n")
    (tmp_path / "predictions.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2, "train_loss": Infinity}\n')
    text = write_report(tmp_path).read_text()
    assert outline(text).open == []
    words = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", text.split("<main>")[1], flags=re.DOTALL)
    assert not re.search(r"\b(nan|inf|None)\b", words)


def test_importing_the_report_loads_no_plotting():
    code = (
        "import sys, elman.report; sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
