"""Tags with `tbptt`: rows read in chunks answer what whole rows do; gradients end at the edges."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from elman.data.table import read_table
from elman.kinds.examples import streamed
from elman.kinds.examples.answers import answer
from elman.kinds.examples.use import evaluate, predict

WORDS = ["it", "is", "as", "good", "a", "day", "any"]
OPTIONS = {"inputs": "text:text", "target": "tags:tags", "split": "part", "hidden": 6, "layers": 2}


@pytest.fixture
def tagged() -> pl.DataFrame:
    """Rows of 1 to 40 words; a tag tells whether the word before was longer."""
    rng = np.random.default_rng(3)
    rows = [rng.choice(WORDS, size) for size in [*range(1, 12), 40, 23, 7, 31, 2, 16, 9, 28, 5]]
    tags = [
        [
            "first",
            *("down" if len(a) > len(b) else "up" for a, b in pairwise(row)),
        ]
        for row in rows
    ]
    return pl.DataFrame(
        {
            "text": [" ".join(row) for row in rows],
            "tags": [" ".join(each) for each in tags],
            "part": ["train"] * 13 + ["valid"] * 4 + ["test"] * 3,
        }
    )


def network_of(job, cell: str) -> nn.Module:
    torch.manual_seed(0)
    options = job.options.model_copy(update={"cell": cell})
    return job.learnt.network("seq-to-seq", options, {}).eval()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("steps", [4, 4000])
def test_answers_are_those_of_whole_rows(make_job, tagged, monkeypatch, cell, steps) -> None:
    monkeypatch.setattr(streamed, "_STREAMS", 3)
    monkeypatch.setattr(streamed, "_STEPS", 3 * steps)
    whole = make_job(tagged, **OPTIONS, spelling=True)
    cut = make_job(tagged, **OPTIONS, spelling=True, tbptt=5)
    network = network_of(cut, cell)
    rows = np.array([13, 2, 19, 11])
    ours, theirs = (
        answer(job.learnt, network, job.encoded, rows, job.options) for job in (cut, whole)
    )
    for our, their in zip(ours.outputs, theirs.outputs, strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-5)
    assert ours.counts.tolist() == theirs.counts.tolist()
    tasks = [job.task("cpu", "float32") for job in (cut, whole)]
    assert tasks[0].validate(network) == pytest.approx(tasks[1].validate(network), rel=1e-5)


def test_another_table_is_answered_alike(make_job, tagged) -> None:
    whole, cut = make_job(tagged, **OPTIONS), make_job(tagged, **OPTIONS, tbptt=5)
    network = network_of(cut, "gru")
    table = read_table(tagged.select("text", "tags"))
    frames = [predict(network, job.learnt, table, job.options)[0] for job in (cut, whole)]
    assert frames[0].drop("probability").equals(frames[1].drop("probability"))
    np.testing.assert_allclose(frames[0]["probability"], frames[1]["probability"], rtol=1e-5)
    scores = [evaluate(network, j.learnt, "gru", table, j.options)[0].scores for j in (cut, whole)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("steps", [1, 6, 40])
def test_gradients_are_those_of_a_truncated_reference(make_job, tagged, steps) -> None:
    """By torch's LSTM in float64, one row a stream; 40 steps are whole rows."""
    job = make_job(tagged, **OPTIONS, tbptt=steps, cell="lstm")
    network = network_of(job, "lstm").train()
    task = job.task("cpu", "float32")
    body = network.body
    theirs = nn.LSTM(body.recurrent.input_size, 6, 2, batch_first=True).double()
    theirs.load_state_dict({k: v.double() for k, v in body.recurrent.state_dict().items()})
    head = nn.Linear(6, body.head.out_features).double()
    head.load_state_dict({k: v.double() for k, v in body.head.state_dict().items()})
    state, carried_on = None, 0
    for name in task.order(1, torch.Generator().manual_seed(4)):
        chunk = task.batch(name)
        network.zero_grad(), theirs.zero_grad(), head.zero_grad()
        loss = task.loss(network, chunk)
        loss.backward()
        if chunk.begins[0]:
            state = None
        else:
            carried_on += 1
        x = network.fronts[0](chunk.batch.values[0], chunk.batch.lengths[0]).detach().double()
        hidden, after = theirs(x, state)
        state = tuple(part.detach() for part in after)
        expected = F.cross_entropy(head(hidden)[0], chunk.batch.truth)
        expected.backward()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        for part, reference in (("recurrent", theirs), ("head", head)):
            ours = dict(getattr(body, part).named_parameters())
            for name, parameter in reference.named_parameters():
                torch.testing.assert_close(
                    ours[name].grad.double(), parameter.grad, rtol=1e-4, atol=1e-6, msg=name
                )
    assert (carried_on > 0) == (steps < 40)


def test_several_rows_side_by_side_have_the_loss_of_each(make_job, tagged) -> None:
    job = make_job(tagged, **OPTIONS, tbptt=6)
    network, task = network_of(job, "gru"), job.task("cpu", "float32")
    total = steps = 0
    with torch.no_grad():
        for name in task.order(4, torch.Generator().manual_seed(4)):
            chunk = task.batch(name)
            total += float(task.loss(network, chunk)) * len(chunk)
            steps += len(chunk)
    whole = make_job(tagged, **OPTIONS)
    rows = whole.parts["train"]
    answers = answer(whole.learnt, network, whole.encoded, rows, whole.options)
    assert steps == answers.counts.sum()
    assert total == pytest.approx(float((answers.losses * answers.counts).sum()), rel=1e-5)
