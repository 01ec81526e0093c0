"""A generator's stream, state, scores and text, by hand and beside a reading in one go."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

import elman
from elman.errors import InputError
from elman.kinds.generation import use
from elman.kinds.generation.job import StreamTask
from elman.kinds.generation.language import Language
from elman.model import Model

ROWS = ["the king is here", "the queen is gone", "is the king gone", "here is the queen"] * 6


def options(**more):
    return {
        "inputs": "text:text", "target": "next", "hidden": 6, "embedding": 5, "min_count": 1,
        "batch_size": 3, "tbptt": 4, "epochs": 2, "valid": 0.2, "test": 0.2, "device": "cpu",
    } | more  # fmt: skip


def frame(rows=ROWS) -> pl.DataFrame:
    return pl.DataFrame({"text": rows})


def language(level="word") -> Language:
    given = SimpleNamespace(
        level=level, vocabulary=100, min_count=1, lowercase=False, split_words="spaces"
    )
    return Language.learn("text", iter(ROWS), given)


def decoder(words: Language, seed=0, **more):
    torch.manual_seed(seed)
    given = Model(**options(**more)).config
    return words.network("seq-to-seq", given, {}).eval()


def nats_in_one_go(network, tokens: np.ndarray) -> np.ndarray:
    ids = torch.from_numpy(tokens.astype(np.int64))[None]
    with torch.inference_mode():
        y_NV, _ = network(ids[:, :-1], network.begin(batch=1))
        return F.cross_entropy(y_NV, ids[0, 1:], reduction="none").numpy()


class TestLanguage:
    def test_rows_end_with_a_line_end_that_is_a_token(self) -> None:
        words = language()
        stream = words.stream(ROWS[:2], np.array([4, 9]))
        assert words.vocabulary.tokens(stream.tokens) == [
            "the", "king", "is", "here", "\n", "the", "queen", "is", "gone", "\n",
        ]  # fmt: skip
        assert stream.lengths.tolist() == [5, 5]
        assert stream.numbers.tolist() == [4, 9]

    def test_survives_being_written(self) -> None:
        words = language("character")
        again = Language.from_dict(words.as_dict())
        assert again == words
        assert "characters" in words.summary()


class TestStream:
    def task(self, tokens=53, tbptt=4) -> StreamTask:
        stream = np.arange(tokens)
        return StreamTask(stream, stream, tbptt, "cpu", "float32", language())

    @pytest.mark.parametrize(("tokens", "streams", "tbptt"), [(53, 3, 4), (17, 2, 5), (9, 4, 100)])
    def test_chunks_go_through_every_stream_in_order(self, tokens, streams, tbptt) -> None:
        task = self.task(tokens, tbptt)
        names = task.order(streams, torch.Generator().manual_seed(1))
        rows: list[list[int]] = [[] for _ in range(streams)]
        for number, chunk in enumerate(task.batch(name) for name in names):
            assert chunk.begins.all() if number == 0 else not chunk.begins.any()
            lengths = chunk.lengths
            real = [chunk.read_BT.shape[1]] * len(chunk.begins) if lengths is None else lengths
            assert max(real) <= tbptt
            read = [row[:length].tolist() for row, length in zip(chunk.read_BT, real, strict=True)]
            for row, tokens_read in enumerate(read):
                rows[row] += tokens_read
            # Tokens are their places: what follows is one more.
            assert chunk.next_N.tolist() == [token + 1 for row in read for token in row]
            assert len(chunk) == sum(map(len, read))
        # Streams lie one behind the other, and are read to the end.
        assert sorted(token for row in rows for token in row) == list(range(tokens - 1))
        for row in rows:
            assert row == list(range(row[0], row[0] + len(row)))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1

    def test_the_state_is_carried_from_chunk_to_chunk(self) -> None:
        """Losses of chunks are those of the streams read in one go."""
        words = language()
        stream = words.stream(ROWS, np.arange(len(ROWS))).tokens
        task = StreamTask(stream, stream, 4, "cpu", "float32", words)
        network = decoder(words)
        names = task.order(3, torch.Generator().manual_seed(1))
        task.begin_epoch(0.0)
        with torch.no_grad():
            chunks = [task.batch(name) for name in names]
            losses = [float(task.loss(network, chunk)) * len(chunk) for chunk in chunks]
        edges = [row * (len(stream) - 1) // 3 for row in range(4)]
        whole = [
            nats_in_one_go(network, stream[start : stop + 1]).sum()
            for start, stop in pairwise(edges)
        ]
        assert sum(losses) == pytest.approx(sum(whole), rel=1e-5)
        task.begin_epoch(0.5)
        assert task.carried == {}

    def test_gradients_end_where_a_chunk_begins(self) -> None:
        words = language()
        stream = words.stream(ROWS, np.arange(len(ROWS))).tokens
        task = StreamTask(stream, stream, 4, "cpu", "float32", words)
        network = decoder(words, cell="lstm").train()
        for name in task.order(3, torch.Generator().manual_seed(1))[:2]:
            task.loss(network, task.batch(name)).backward()
            assert len(task.carried) == 2  # h and c
            assert not any(part.requires_grad for part in task.carried.values())

    def test_a_hundred_steps_where_options_do_not_say(self) -> None:
        given = {name: value for name, value in options(epochs=1).items() if name != "tbptt"}
        assert Model(**given).config.tbptt is None
        assert Model(**given).fit(frame()).config.tbptt == 100


class TestNats:
    @pytest.mark.parametrize("cell", ["gru", "lstm"])
    @pytest.mark.parametrize("steps", [3, 1000])
    def test_pieces_are_scored_as_in_one_go(self, monkeypatch, cell, steps) -> None:
        monkeypatch.setattr(use, "_STEPS", steps)
        words = language()
        tokens = words.stream(ROWS, np.arange(len(ROWS))).tokens
        network = decoder(words, cell=cell)
        expected = nats_in_one_go(network, tokens)
        np.testing.assert_allclose(use.nats_of(network, tokens), expected, rtol=1e-4)

    def test_several_sides_give_what_one_does(self, monkeypatch) -> None:
        """Each side reads what came before it first; what is further back is forgotten."""
        monkeypatch.setattr(use, "_STEPS", 7)
        words = language()
        tokens = words.stream(ROWS, np.arange(len(ROWS))).tokens
        network = decoder(words)
        one = use.nats_of(network, tokens)
        monkeypatch.setattr(use, "_LONG", 50)
        monkeypatch.setattr(use, "_SIDES", 4)
        monkeypatch.setattr(use, "_WARM", 25)
        several = use.nats_of(network, tokens)
        assert several.shape == one.shape == (len(tokens) - 1,)
        np.testing.assert_allclose(several, one, atol=2e-3)
        length = -(-len(one) // 4)
        np.testing.assert_allclose(several[:length], one[:length], rtol=1e-5)  # nothing before it

    def test_perplexity_by_hand(self) -> None:
        """A network that says the same always: its biases are the log probabilities."""
        words = language()
        network = decoder(words)
        shares = np.arange(1, len(words.vocabulary) + 1, dtype=float)
        shares /= shares.sum()
        with torch.no_grad():
            for parameter in network.output.parameters():
                parameter.zero_()
            network.output.bias.copy_(torch.from_numpy(np.log(shares)))
        evaluation, _ = use.evaluate(network, words, "gru", _table(["the king", "is gone"]))
        tokens = words.vocabulary.encode("the king\nis gone\n")[1:]
        nats = -np.log(shares[tokens])
        (score,) = evaluation.scores
        assert score["n"] == 5
        assert score["nats"] == pytest.approx(nats.mean(), rel=1e-6)
        assert score["perplexity"] == pytest.approx(math.exp(nats.mean()), rel=1e-6)
        assert "bits" not in score  # words may be unknown
        rows = evaluation.frame()
        assert rows["row"].to_list() == [1, 2]
        assert rows["tokens"].to_list() == [3, 3]
        assert rows["loss"].to_list() == pytest.approx([nats[:2].mean(), nats[2:].mean()], rel=1e-5)
        assert evaluation.verdict == ""

    def test_bits_are_of_a_character(self) -> None:
        letters = language("character")
        network = decoder(letters, level="character")
        evaluation, _ = use.evaluate(network, letters, "gru", _table(["the king", "is gone"]))
        (score,) = evaluation.scores
        assert score["n"] == len("the king\nis gone\n") - 1
        assert score["bits"] == pytest.approx(score["nats"] / math.log(2))


def _table(rows):
    from elman.data.table import read_table

    return read_table(frame(rows))


class TestGenerate:
    def test_the_likeliest_is_what_argmax_takes_step_by_step(self) -> None:
        words = language()
        network = decoder(words)
        (text,) = use.generate(network, words, "the king", length=6, temperature=0)
        ids = list(words.vocabulary.encode("\nthe king"))
        with torch.inference_mode():
            for _ in range(6):
                y_NV, _ = network(torch.tensor([ids]), network.begin(batch=1))
                y_NV[-1, :3] = -torch.inf
                ids.append(int(y_NV[-1].argmax()))
        assert "the king" + text == words.vocabulary.decode(ids).removeprefix("\n")

    def test_seed_and_settings_decide(self) -> None:
        words = language("character")
        network = decoder(words, level="character")
        first = use.generate(network, words, "th", length=20, count=3, seed=4)
        assert len(set(first)) == 3
        assert [len(text) for text in first] == [20] * 3
        assert use.generate(network, words, "th", length=20, count=3, seed=4) == first
        assert use.generate(network, words, "th", length=20, count=3, seed=5) != first
        likeliest = use.generate(network, words, "th", length=20, temperature=0)
        assert use.generate(network, words, "th", length=20, top_k=1) == likeliest
        assert use.generate(network, words, "th", length=20, top_p=1e-9) == likeliest

    def test_words_go_on_with_the_space_between(self) -> None:
        words = language()
        (text,) = use.generate(decoder(words), words, "the king", length=8, seed=2)
        assert text[0] in " \n"
        (text,) = use.generate(decoder(words), words, length=8, seed=2)
        assert text[0] not in " "

    def test_a_prompt_may_hold_what_is_unknown(self) -> None:
        words = language()
        (text,) = use.generate(decoder(words), words, "the emperor", length=3)
        assert "⁇" not in text

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ({"length": 0}, "length: expected at least 1, got 0"),
            ({"count": 0}, "count: expected at least 1"),
            ({"temperature": -1}, "temperature: expected 0 or more, got -1"),
            ({"top_k": 0}, "top_k: expected at least 1"),
            ({"top_p": 0.0}, "top_p: expected above 0 and at most 1, got 0.0"),
            ({"top_p": 1.5}, "top_p: expected above 0"),
        ],
    )
    def test_out_of_range_is_refused(self, how, message) -> None:
        words = language()
        with pytest.raises(InputError, match=message):
            use.generate(decoder(words), words, **how)


@pytest.fixture
def quick(monkeypatch):
    """Write little for the report."""
    monkeypatch.setattr(use, "_SAMPLES", ((0.5, 8),))


@pytest.mark.usefixtures("quick")
class TestModel:
    def test_from_a_table_to_text_and_back_from_disk(self, tmp_path) -> None:
        model = Model(**options(tied=True, average=0.5)).fit(frame(), run=tmp_path / "run")
        assert model.network is not None
        loaded = elman.load(tmp_path / "run")
        assert loaded.generate("the", length=12) == model.generate("the", length=12)
        assert loaded.predict(frame()).equals(model.predict(frame()))
        assert loaded.evaluate(frame()).scores == model.evaluate(frame()).scores
        rows = {row["split"]: row for row in model.document["scores"] if row["kind"] == "model"}
        assert rows["valid"]["nats"] == pytest.approx(
            model.document["training"]["best_score"], rel=1e-6
        )
        names = {row["forecaster"] for row in model.document["scores"]}
        assert {"gru", "token frequencies", "6-gram"} <= names
        assert "perplexity" in model.document["verdict"]
        # A row's loss is its mean nats; all rows' tokens together give the score.
        told = pl.read_csv(tmp_path / "run/predictions.csv").filter(split="test")
        lengths = told["tokens"].to_numpy().copy()
        lengths[0] -= 1  # nothing foretells the first token
        assert rows["test"]["nats"] == pytest.approx(
            np.average(told["loss"].to_numpy(), weights=lengths), rel=1e-9
        )

    def test_parts_follow_each_other(self) -> None:
        model = Model(**options(epochs=1)).fit(frame())
        assert model.document["data"]["parts"] == {"train": 15, "valid": 5, "test": 4}

    def test_parts_by_a_column_keep_their_row_numbers(self, tmp_path) -> None:
        parts = ["test", "train", "valid"] * 8
        told = frame().with_columns(part=pl.Series(parts))
        Model(**options(epochs=1, split="part", valid=0.15, test=0.15)).fit(
            told, run=tmp_path / "run"
        )
        rows = pl.read_csv(tmp_path / "run/predictions.csv")
        expected = {name: [n + 1 for n, part in enumerate(parts) if part == name]
                    for name in ("valid", "test")}  # fmt: skip
        for name, numbers in expected.items():
            assert rows.filter(split=name)["row"].to_list() == numbers

    def test_another_table_validates(self) -> None:
        model = Model(**options(epochs=1, test=0)).fit(frame(), frame(ROWS[:5]))
        assert model.document["data"]["parts"] == {"train": 24, "valid": 5}

    @pytest.mark.parametrize(
        ("rows", "more", "message"),
        [
            (["", " "], {}, "column 'text' holds no text"),
            (ROWS[:2], {"batch_size": 50}, "no row validates"),
            (ROWS, {"batch_size": 500}, "too few for 500 streams"),
            (ROWS, {"valid": "2020-01-01"}, "expected a share such as 0.1; a text has no times"),
            (ROWS, {"valid": 1.5}, "expected a share of the text, from 0 to below 1"),
            (ROWS, {"inputs": "text:text,other"}, "a generator reads one column"),
            (ROWS, {"inputs": "text:txt"}, "no column 'txt' (from --input); did you mean 'text'?"),
        ],
    )
    def test_what_cannot_be_used_is_refused(self, rows, more, message) -> None:
        with pytest.raises(InputError) as error:
            Model(**options(**more)).fit(frame(rows))
        assert message in str(error.value)

    def test_text_that_is_mostly_unknown_is_warned_of(self) -> None:
        rows = [*ROWS, *(f"new{n} words{n} all{n}" for n in range(12))]
        findings = Model(**options(test=0, valid=0.3)).check(frame(rows))
        assert any("of the validation part's tokens are unknown" in str(f) for f in findings)

    def test_other_models_do_not_generate(self, examples, options_for) -> None:
        model = Model(**options_for("text:text", "category:label", epochs=1)).fit(examples)
        with pytest.raises(InputError, match="this one's is category; use predict"):
            model.generate("the")

    def test_an_empty_cell_is_an_empty_line(self) -> None:
        rows = [*ROWS, None, "the king"]
        model = Model(**options(epochs=1, test=0)).fit(frame(rows))
        assert model.document["data"]["rows"] == 26
