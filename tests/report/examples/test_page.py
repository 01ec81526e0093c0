"""What a reader finds on the page of a run that answers examples or writes text on."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from elman.report import write_report

NAMES = [
    "sentiment", "score", "dna", "audio", "video", "caption", "translation", "tags", "language",
]  # fmt: skip


class Outline(HTMLParser):
    """Collects ids, tags, addresses, pictures and what is left open."""

    VOID = frozenset({"meta", "br", "path", "rect", "use", "image", "circle", "img"})

    def __init__(self):
        super().__init__()
        self.ids, self.tags, self.open, self.links, self.images = [], set(), [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self._attributes(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self._attributes(tag, attrs)

    def _attributes(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "xlink:href", "src"):
                self.links.append(value)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open, tag
            assert self.open.pop() == tag


def outline(text):
    parser = Outline()
    parser.feed(text)
    return parser


def section(text, heading):
    found = re.search(rf"<h2>{heading}</h2>(.*?)</section>", text, re.DOTALL)
    assert found, heading
    return found[1]


def headings(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def rows_of(text, caption):
    """Return the body cells of the table whose caption begins so, markup kept."""
    table = re.search(
        rf"<caption>{re.escape(caption)}[^<]*</caption>(.*?)</table>", text, re.DOTALL
    )
    assert table, caption
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table[1].split("<tbody>")[1], re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]


def cards(text):
    return re.findall(r'<article class="card.*?</article>', text, re.DOTALL)


def plain(text):
    """Return what is read, without drawings and tags."""
    text = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(text).split())


@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_sound_small_and_offline(pages, name):
    text = pages[name]
    found = outline(text)
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in found.links)
    assert {link[1:] for link in found.links if link[0] == "#"} <= set(found.ids)
    assert not {"script", "link", "iframe"} & found.tags
    assert all(image["alt"] for image in found.images)
    assert len(text) < 3_000_000
    assert not re.search(r"\b(nan|inf|None)\b", plain(text.split("<main>")[1]))
    assert not re.search(r"</?desc[^>]*></desc>", text), "a drawing without words"


def test_sections_follow_the_job(pages):
    last = ["How training went", "Configuration", "Versions and how to reproduce"]
    assert headings(pages["sentiment"]) == [
        "Summary", "The data", "Scores", "Answers by class", "Examples", *last,
    ]  # fmt: skip
    assert headings(pages["score"])[3:5] == ["Folds", "Answers in detail"]
    assert headings(pages["language"]) == [
        "Summary", "Generated text", "The data", "Scores", "Examples", *last,
    ]  # fmt: skip
    assert "taken at the last step of each window" not in pages["sentiment"]
    assert "Validation loss was lowest at epoch 9" in pages["sentiment"]


def test_summary_stands_beside_the_best_baseline_in_the_metrics_direction(pages):
    text = section(pages["sentiment"], "Summary")
    assert '<p class="verdict good">' in text
    assert "best baseline: bag of words, logistic regression, 85.8%; 2.7 points higher" in text
    text = section(pages["score"], "Summary")
    # The lower MAE is the better one; correlation of the constant baseline is not defined.
    assert "between folds; best baseline: bag of words, ridge, 0.310; 26% lower" in text
    assert "best baseline: bag of words, ridge, 0.722; 0.100 higher" in text
    assert text.count('<div class="tile good">') == 2
    text = section(pages["tags"], "Summary")
    assert '<p class="verdict bad">' in text
    assert "95.2%; 0.88 points lower" in text
    assert text.count('<div class="tile bad">') == 2
    text = section(pages["language"], "Summary")
    assert '<div class="value">1.428</div>' in text
    assert "5-gram, Kneser-Ney, 1.670; 14% lower" in text


def test_scores_are_bold_by_direction(pages):
    rows = rows_of(section(pages["tags"], "Scores"), "test; 25,094 answers each")
    assert rows == [
        ["gru", "94.3%", "<strong>87.1%</strong>", "<strong>49.0%</strong>"],
        ["most frequent tag per word", "<strong>95.2%</strong>", "79.0%", "31.0%"],
    ]
    rows = rows_of(section(pages["language"], "Scores"), "test")
    assert rows[0] == ["gru", *(f"<strong>{v}</strong>" for v in ("4.17", "2.060", "1.428"))]
    # A score that no rival has is not bold.
    assert rows_of(section(pages["caption"], "Scores"), "test")[0][-1] == "14.20"
    assert "Higher is better: accuracy, macro F1, ROC AUC; lower is better: log loss" in plain(
        pages["sentiment"]
    )


def test_folds_have_mean_and_spread(pages):
    text = section(pages["score"], "Folds")
    mae = np.array([0.22 + 0.01 * (n % 3) for n in range(10)])
    correlation = np.array([0.84 - 0.004 * n for n in range(10)])
    rows = [500] * 9 + [600]
    words = [
        f"{np.average(mae, weights=rows):.4f} ± {mae.std(ddof=1):.4f}",
        f"{np.average(correlation, weights=rows):.3f} ± {correlation.std(ddof=1):.3f}",
    ]
    assert all(f">{each}<" in text for each in words)
    assert "Each of 10 folds was the test once" in text
    assert "bag of words, ridge" in text
    assert rows_of(text, "gru, by fold")[3] == ["4", "500", "0.220", "0.828"]
    summary = section(pages["score"], "Summary")
    assert f"± {mae.std(ddof=1):.4f} between folds" in summary


def test_the_data_says_what_was_skipped(pages):
    text = section(pages["sentiment"], "The data")
    assert rows_of(text, "Parts") == [
        ["training", "8,000", "80%"], ["validation", "1,000", "10%"], ["test", "1,000", "10%"],
    ]  # fmt: skip
    assert rows_of(text, "Classes: 2")[0] == ["neg", "4,000 (50%)", "510 (51%)", "500 (50%)"]
    assert rows_of(text, "Lengths") == [["review", "9", "201", "2,752"]]
    assert rows_of(section(pages["language"], "The data"), "Parts")[1] == [
        "validation", "100", "10%", "111,540",
    ]  # fmt: skip
    # Where parts do not tell their classes, the scored ones do.
    rows = rows_of(section(pages["dna"], "The data"), "Classes: 3")
    assert rows[0] == ["N", "166 (52%)"]
    assert "96 texts stand twice" in text
    assert "23 rows could not be read and were left out" in text
    skipped = rows_of(text, "Skipped rows")
    assert skipped[0][:2] == ["review: the text is empty", "22"]
    assert skipped[0][2].startswith("4, 90, 1000, ")
    assert skipped[0][2].endswith("(10 more)")
    assert html.unescape(skipped[1][0]) == "sentiment: 'mixed' is not among training's classes"
    assert "No row was skipped." in section(pages["dna"], "The data")


def test_many_classes_are_merged_and_told(pages):
    text = section(pages["tags"], "The data")
    rows = rows_of(text, "Classes: 24")
    assert len(rows) == 21
    assert rows[-1][:2] == ["4 further classes", "314 (15%)"]  # 80 + 79 + 78 + 77 of 2,124
    text = section(pages["tags"], "Answers by class")
    matrix = rows_of(text, "Confusion")
    assert len(matrix) == 20
    assert all(len(row) == 20 for row in matrix)
    total = sum(int(cell.replace(",", "") or 0) for row in matrix for cell in row)
    assert f"Confusion: {total:,} answers" in text
    assert "The 5 rarest classes are one row and column" in text
    assert ">other (5)</th>" in text


def test_confusion_by_class_and_calibration(pages):
    text = section(pages["audio"], "Answers by class")
    matrix = rows_of(text, "Confusion: 300 answers")
    assert [row[k] for k, row in enumerate(matrix)][9] == "27"
    assert matrix[9][1] == "2"
    assert "nine taken for one 2× (6.7% of nine)" in text
    assert 'class="down" style="--a:0.26" title="nine taken for one: 2"' in text  # √(2/30)
    assert rows_of(text, "By class")[2] == ["two", "30", "96.7%", "96.7%", "96.0%"]
    text = section(pages["sentiment"], "Answers by class")
    # (.02·90 + .05·110 + .04·130 + .05·200 + .03·470) / 1000 = 0.0366
    assert "the network is surer than it should be, by 3.7 points" in text
    assert "Most answers (470 of 1,000) have a confidence of about 97%; of those 94%" in text


def test_numbers_are_drawn_against_the_truth(pages, folders):
    text = section(pages["score"], "Answers in detail")
    points = np.array(
        json.loads((folders["score"] / "samples.json").read_text())["details"]["fold 1"]["scatter"]
    )
    assert f"Correlation {np.corrcoef(points.T)[0, 1]:.3f}" in text
    assert "Truth against prediction" in text
    card = plain(cards(pages["score"])[0])
    assert "Truth -0.85 Prediction 0.6312 Error 1.48 Loss 3.21" in card


def test_a_running_answer_colours_the_words(pages):
    card = cards(pages["sentiment"])[0]
    assert "Row 17: wrong" in card
    assert 'class="card bad"' in card
    assert ">superbly</span>" in card
    shades = {
        word: (kind, float(a))
        for kind, a, word in re.findall(
            r'<span class="(up|down)" style="--a:([\d.]+)" title="[\d.]+">(\w+)</span>', card
        )
    }
    assert shades["badly"][0] == "down"
    assert shades["wonderful"][0] == "up"
    assert shades["wonderful"][1] > shades["acted"][1] > 0.5
    assert "Probability of pos at each word, from 0.5 to 0.960." in card
    assert "It changes most at word 32 (“superbly”)." in card
    words = plain(section(pages["sentiment"], "Examples"))
    assert "(probability of pos): the stronger the blue, the nearer to 1; orange, to 0." in words
    assert "the nearer to 1; orange, to −1." in plain(pages["score"])
    assert "Each character is coloured by how much it surprised the network, in nats" in plain(
        pages["language"]
    )


def test_a_long_text_loses_its_middle(pages):
    card = cards(pages["sentiment"])[1]
    assert "… 300 left out …" in card
    assert len(re.findall(r'<span class="(?:up|down)"', card)) == 600


def test_probabilities_name_truth_and_answer(pages):
    bars = re.findall(
        r'<li class="(\w*)"><span>(.*?)</span><i style="--a:([\d.]+)"></i><span>(.*?)</span>',
        cards(pages["audio"])[0],
    )
    assert bars[:3] == [
        ("bad", "one", "0.620", "62%"),
        ("good", "nine (truth)", "0.300", "30%"),
        ("", "seven", "0.050", "5.0%"),
    ]


def test_saliency_stands_over_letters(pages, folders):
    sample = json.loads((folders["dna"] / "samples.json").read_text())["examples"][0]
    card = cards(pages["dna"])[0]
    found = re.findall(r'<span class="up" style="--a:([\d.]+)"><i></i><b>(\w)</b></span>', card)
    assert "".join(letter for _, letter in found) == sample["inputs"][0]["letters"]
    weight = np.array(sample["saliency"]["values"])
    assert [float(a) for a, _ in found] == pytest.approx(weight / weight.max(), abs=0.0051)
    assert re.findall(r"<small>(\d+)</small></span>", card) == ["1", "11", "21", "31", "41", "51"]
    assert "how much each letter weighs" in plain(pages["dna"])


def test_saliency_of_k_mers_and_its_sign(tmp_path, makers):
    maker = makers["dna"]()
    maker.options["kmer_step"] = 2
    one = maker.samples["examples"][0]
    one["inputs"][0]["letters"] = "ACGTA"
    one["saliency"]["values"] = [0.5, -1.0]  # of letters 1 and 3 on
    text = write_report(maker.write(tmp_path / "run")).read_text()
    found = re.findall(
        r'<span class="(up|down)" style="--a:([\d.]+)"><i></i><b>(\w)</b></span>', cards(text)[0]
    )
    assert [letter for _, _, letter in found] == list("ACGTA")
    assert [kind for kind, _, _ in found] == ["up", "up", "down", "down", "down"]
    assert [a for _, a, _ in found] == ["0.50", "0.50", "1.00", "1.00", "1.00"]
    assert "blue speaks for it, orange against it." in plain(text)


def test_a_long_sequence_is_cut_around_its_peak(tmp_path, makers):
    maker = makers["dna"]()
    one = maker.samples["examples"][0]
    one["inputs"][0]["letters"] = "ACGT" * 500
    one["saliency"]["values"] = [1.0 if n == 1500 else 0.0 for n in range(2000)]
    text = write_report(maker.write(tmp_path / "run")).read_text()
    card = cards(text)[0]
    assert "Letters 1,201 to 1,800 of 2,000 are shown." in card
    assert len(re.findall(r"<b>[ACGT]</b>", card)) == 600
    assert re.findall(r'style="--a:1.00"><i></i><b>(\w)</b>', card) == ["A"]


def test_a_series_and_a_vector_are_shown(tmp_path, makers):
    maker = makers["dna"]()
    maker.samples["examples"][0]["inputs"] = [
        {"kind": "series", "columns": {"x": [1.0, 2.0, 1.5], "y": [0, None, 1]}},
        {"kind": "vector", "values": {"age": 41.5, "city": "Ulm", "n": None}},
    ]
    text = write_report(maker.write(tmp_path / "run")).read_text()
    card = cards(text)[0]
    assert "3 steps of x, y." in card
    assert "<dt>city</dt><dd>Ulm</dd>" in card
    assert "<dt>age</dt><dd>41.5</dd>" in card


def test_numbers_of_several_columns_have_their_answers_read(tmp_path, makers):
    maker = makers["score"]()
    maker.answers = [
        {"split": "test", "row": 1, "prediction_a": 1, "prediction_b": 2, "truth_a": 3,
         "truth_b": 4, "loss": 0.5},
    ]  # fmt: skip
    folder = maker.write(tmp_path / "run")
    (folder / "samples.json").unlink()
    text = write_report(folder).read_text()
    assert '<td class="l">3, 4</td><td class="l">1, 2</td><td class="r">0.5</td>' in text


def test_sound_is_drawn(pages):
    card = cards(pages["audio"])[0]
    assert "speech/nine_george_31.wav: 0.643 s at 8,000 Hz" in plain(card)
    assert re.search(r'<svg class="plot +pixels"', card)
    assert "<image " in card
    assert ">seconds</text>" in card
    assert "svg.plot:not(.pixels) image { filter" in pages["audio"]


def test_frames_and_pictures_are_shown(pages):
    card = outline(cards(pages["video"])[0])
    assert [image["alt"] for image in card.images] == [
        f"Frame {n} of 8 of 2.mp4" for n in range(1, 9)
    ]
    card = cards(pages["caption"])[0]
    assert outline(card).images[0]["alt"] == "The picture images/120.jpg"
    items = re.findall(r"<li>(.*?)</li>", card)
    assert items[0] == "a dog runs through the grass ."
    assert len(items) == 3
    assert "Row 33: exact" in cards(pages["caption"])[1]


def test_text_answers_tell_lengths_and_signatures(pages, folders):
    text = section(pages["caption"], "Answers in detail")
    sizes = np.array(
        json.loads((folders["caption"] / "samples.json").read_text())["details"]["test"]["lengths"]
    )
    truth, answer = sizes.mean(axis=0)
    words = f"True ones are {truth:.1f} tokens long on average, answers {answer:.1f}"
    assert words in text
    assert "BLEU takes off for brevity" in text
    assert "nrefs:5|case:mixed|eff:no|tok:13a" in text


def test_an_answer_without_words_is_said_to_be_one(tmp_path, makers):
    maker = makers["translation"]()
    maker.samples["examples"][0] |= {"prediction": "", "n_best": ["", "A boy"]}
    text = write_report(maker.write(tmp_path / "run")).read_text()
    card = cards(text)[0]
    assert "Prediction (no text)" in plain(card)
    assert "<li>(no text)</li>\n<li>A boy</li>" in card


def test_attention_has_words_on_both_axes(pages):
    card = cards(pages["translation"])[0]
    heads = re.findall(r'<th scope="col"><span>(.*?)</span></th>', card)
    assert heads[:3] == ["Ein", "kleiner", "Junge"]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', card)
    assert [name for name, _ in rows][:3] == ["A", "little", "boy"]
    strongest = [
        int(np.argmax([float(a) for a in re.findall(r"--a:([\d.]+)", cells)])) for _, cells in rows
    ]
    assert strongest == [0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9]
    assert "dog from Hund" in re.search(r'aria-label="(.*?)"', card)[1]


def test_tags_stand_below_their_words(pages):
    card = cards(pages["tags"])[0]
    assert "Row 5: 2 of 19 tags wrong" in card
    wrong = re.findall(
        r'<span class="tagged wrong"[^>]*><span>(.*?)</span><small>(.*?)</small>', card
    )
    assert wrong == [("this", "✗ PRON, not DET"), ("retiring", "✗ ADJ, not VERB")]
    assert "<span>story</span><small>NOUN</small>" in card
    assert "Row 6: all right" in cards(pages["tags"])[1]


def test_generated_text_marks_its_prompt(pages):
    text = section(pages["language"], "Generated text")
    assert "<pre><mark>ROMEO:</mark>\nWhat, shall I speak of &lt;love&gt; &amp; die?" in text
    assert "<figcaption>temperature 0.8, seed 0</figcaption>" in text
    assert "<pre>First Citizen:" in text


def test_a_drawn_picture_stands_beside_the_true_one(tmp_path, makers):
    maker = makers["video"]()
    frames = maker.samples["examples"][0]["inputs"][0]["pngs"]
    maker.samples["examples"][0]["drawn"] = {
        "truth_png": frames[0],
        "prediction_png": frames[1],
    }
    text = write_report(maker.write(tmp_path / "run")).read_text()
    alts = [image["alt"] for image in outline(cards(text)[0]).images]
    assert alts[-2:] == ["The true picture", "The picture that was drawn"]


HOSTILE = '<script>alert("x")</script>" onerror="1" {{ 7*7 }} \' & \x07 </style>'


def poison(value):
    """Return the same JSON with every free text made hostile."""
    if isinstance(value, dict):
        keep = {"kind", "split", "why", "png", "truth_png", "prediction_png", "pngs"}
        return {
            (name if name.isascii() and name.islower() else name + HOSTILE): (
                part if name in keep else poison(part)
            )
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [poison(part) for part in value]
    return value + HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize("name", NAMES)
def test_hostile_texts_are_only_text(tmp_path, makers, name):
    maker = makers[name]()
    maker.samples, maker.parts = poison(maker.samples), poison(maker.parts)
    maker.verdict += HOSTILE
    maker.findings = poison(maker.findings)
    maker.scores = [row | {"forecaster": row["forecaster"] + HOSTILE} for row in maker.scores]
    text = write_report(maker.write(tmp_path / "run")).read_text()
    found = outline(text)  # refuses attributes that run code
    assert "script" not in found.tags
    assert found.open == []
    assert text.count("</style>") == 1
    assert "49" not in re.findall(r"onerror=&#34;1&#34; (\S+)", text)


def test_pictures_stay_within_the_pages_size(tmp_path, makers):
    maker = makers["video"]()
    first = maker.samples["examples"][0]
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    large = noisy(noise)
    assert len(large) > 90_000
    maker.samples["examples"] = [
        first | {"row": n, "why": why, "inputs": [first["inputs"][0] | {"pngs": [large] * 8}]}
        for why in ("worst", "best", "typical")
        for n in range(4)
    ]
    path = write_report(maker.write(tmp_path / "run"))
    text = path.read_text()
    assert path.stat().st_size < 3_000_000
    shown = re.findall(r"<h3>(\w+):|<h4>Row (\d+)", section(text, "Examples"))
    assert [group or row for group, row in shown] == ["Worst", "0", "Best", "0"]
    assert "10 more are in samples.json." in text


def noisy(pixels):
    import base64
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def test_the_same_run_gives_the_same_bytes(tmp_path, makers, pages):
    for name in ("audio", "score"):
        text = write_report(makers[name]().write(tmp_path / name)).read_text(encoding="utf-8")
        assert text == pages[name]


def test_the_command_writes_it_from_the_folder_alone(tmp_path, makers, capsys):
    from elman.cli.report import report

    folder = makers["dna"]().write(tmp_path / "run")  # without weights, without its table
    report(folder)
    assert capsys.readouterr().out == f"report: {folder / 'report.html'}\n"
    assert "gru on splice" in (folder / "report.html").read_text()
