"""Numbers and categories as one vector: each value by hand, and what training did not have."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from elman.config import Config
from elman.errors import InputError
from elman.kinds.inputs.input import BadCellError
from elman.kinds.inputs.vector import Category, Number, Vector

ROWS = [("1", "red", 4.0), ("3", "blue", None), ("5", "red", 8.0)]
COLUMNS = ("size", "color", "weight")


def learn(rows: Any = ROWS, columns: tuple[str, ...] = COLUMNS, **given: Any) -> Vector:
    options = Config.parse({"inputs": "vector:size", "target": "text:name"} | given, "test")
    return Vector.learn(columns, rows, options)


def test_numbers_are_scaled_and_categories_counted() -> None:
    vector = learn()
    scale = math.sqrt(8 / 3)
    assert vector.fields == (
        Number(3.0, scale, False), Category(("blue", "red")), Number(6.0, 2.0, True),
    )  # fmt: skip
    encoded = vector.encode(("4", "red", 4.0))
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, [1 / scale, 2, -1, 0], rtol=1e-6)
    np.testing.assert_array_equal(vector.encode(("3", "blue", None)), [0, 1, 0, 1])
    assert not vector.sequence
    assert vector.summary() == "2 numbers, 1 category"


@pytest.mark.parametrize("missing", [None, "", "  ", math.nan, "NA", "-"])
def test_missing_numbers_are_the_mean(missing: Any) -> None:
    assert learn().encode((missing, "red", missing)).tolist() == [0, 2, 0, 1]
    assert learn([("1",), ("3",), (missing,)], ("a",)).fields == (Number(2.0, 1.0, True),)


def test_a_column_is_of_numbers_if_most_of_its_cells_are() -> None:
    assert learn([("1",), ("2",), ("x",)], ("a",)).fields == (Number(1.5, 0.5, False),)
    assert learn([("1",), ("x",)], ("a",)).fields == (Category(("1", "x")),)
    assert learn([("1",), (None,), (None,)], ("a",)).fields == (Number(1.0, 1.0, True),)
    assert learn([(True,), (False,)], ("a",)).fields == (Category(("False", "True")),)
    as_asked = learn([(1.0,), (2,), (None,)], ("a",), categories="a")
    assert as_asked.fields == (Category(("1", "2")),)
    assert as_asked.encode(("2",)).tolist() == as_asked.encode((2.0,)).tolist() == [2]


def test_a_number_that_does_not_vary_is_not_divided_by_nothing() -> None:
    vector = learn([(0.1,)] * 3, ("a",))
    assert vector.encode((0.1,)).tolist() == pytest.approx([0])
    assert vector.encode((1.1,)).tolist() == pytest.approx([1])


@pytest.mark.parametrize("cell", ["red", "nan", "inf", "1e39", math.inf, True, "1,5", [1]])
def test_what_is_no_number_is_refused(cell: Any) -> None:
    with pytest.raises(BadCellError, match="column 'size': expected a finite number, got "):
        learn().encode((cell, "red", 4.0))


def test_an_empty_column_is_refused() -> None:
    with pytest.raises(InputError, match="column 'b' is empty in the training rows"):
        learn([("1", None), ("2", " ")], ("a", "b"))


def test_what_training_did_not_have_is_told() -> None:
    vector = learn()
    assert vector.unseen(ROWS) == []
    rows = [("NA", "green", None), ("2", " red ", 1.0), (None, None, 1.0), ("2", "teal", 1.0)]
    assert vector.unseen(rows) == [
        "column 'size': missing in 2 rows, and in none of training's; read as the mean, 3",
        "column 'color': 'green', 'teal' were not in the training rows, which had blue, red; the "
        "model cannot tell what it means",
    ]
    assert vector.encode(("3", "green", 6.0)).tolist() == [0, 0, 0, 0]
    assert vector.encode(("3", " red ", 6.0)).tolist() == [0, 2, 0, 0]


def test_kept_and_shown() -> None:
    vector = learn()
    again = Vector.from_dict(json.loads(json.dumps(vector.as_dict())))
    assert again == vector
    np.testing.assert_array_equal(again.encode(ROWS[1]), vector.encode(ROWS[1]))
    shown = vector.show(("4", " red", math.nan), np.zeros(4))
    assert shown == {"kind": "vector", "values": {"size": 4.0, "color": "red", "weight": None}}


def test_front_is_one_hot_of_few_values() -> None:
    vector = learn()
    front = vector.front(None)
    assert front.size == 5
    rows = [("4", "red", 4.0), ("3", "blue", None), ("3", "green", 6.0)]
    values = torch.from_numpy(np.stack([vector.encode(row) for row in rows]))
    v_BE = front(values, None)
    scaled = 1 / math.sqrt(8 / 3)
    torch.testing.assert_close(
        v_BE, torch.tensor([[scaled, 0, 1, -1, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]])
    )
    assert not list(front.parameters())


@pytest.mark.parametrize(("num_values", "size"), [(32, 32), (33, 11), (400, 46), (1000, 50)])
def test_front_learns_vectors_of_many_values(num_values: int, size: int) -> None:
    vector = learn([(f"v{i:04}", i) for i in range(num_values)], ("code", "number"))
    front = vector.front(None)
    assert front.size == size + 1
    rows = [("v0003", 0), ("new", 0), ("v0000", 5), (None, 1), ("v0003", 2)]
    values = torch.from_numpy(np.stack([vector.encode(row) for row in rows]))
    v_BE = front(values)
    torch.testing.assert_close(v_BE[:, -1], values[:, 1])
    assert not v_BE[[1, 3], :-1].any()
    if num_values <= 32:
        assert torch.equal(v_BE[0, :-1], F.one_hot(torch.tensor(3), 32).float())
        return
    (name, table), = front.named_parameters()  # fmt: skip
    assert (name, table.shape) == ("embeddings.0.weight", (num_values + 1, size))
    assert torch.equal(v_BE[[0, 2, 4], :-1], table[[4, 1, 4]])
    weigh = torch.randn_like(v_BE)
    (v_BE * weigh).sum().backward()
    d_table = torch.zeros_like(table)
    d_table[4], d_table[1] = weigh[0, :-1] + weigh[4, :-1], weigh[2, :-1]
    torch.testing.assert_close(table.grad, d_table, msg=name)
