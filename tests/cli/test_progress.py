"""The live display: what a terminal shows while training runs, and that it is quiet elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from elman.cli.numbers import aligned, number, percent
from elman.cli.progress import TerminalObserver
from elman.training.checkpoint import Progress
from elman.training.observer import EpochMetrics


def screen(width, terminal=True):
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)


def metrics(epoch, score, best):
    return EpochMetrics(epoch, 10 * epoch, 0.25, 0.3, score, 1.5, 1e-3, 0.5, 12_345.0, best)


def drive(console):
    with TerminalObserver(console) as observer:
        observer.begin(Progress(epoch=2, best_epoch=1, best_score=21_000.4), 5, "MAE")
        observer.step(Progress(epoch=2, batch=3, examples=96, loss_sum=24.0), 10)
        if terminal := observer._bar:
            terminal.refresh()
        observer.epoch(metrics(3, 22_500.0, best=False))
        observer.epoch(metrics(4, 19_876.5, best=True))
        observer.message("something is odd", warning=True)
        observer.end(Progress())
    return console.file.getvalue()


def test_a_terminal_sees_every_figure_also_after_a_resume():
    shown = drive(screen(160))
    assert "epoch 3/5 30% loss 0.25" in shown
    lines = ("epoch 4/5", "loss 0.25", "MAE 19,876", "best 19,876", "grad 1.5", "12,345/s")
    for text in lines:
        assert text in shown, text
    assert "warning: something is odd" in shown


def test_nothing_is_cut_at_80_columns():
    shown = drive(screen(80))
    assert "…" not in shown
    assert "best 19,876 grad 1.5 12,345/s ≤0:0" in shown


def test_a_long_name_of_a_score_leaves_the_place_within_the_epoch_out_at_80_columns():
    for width, said in ((80, False), (100, True)):
        console = screen(width)
        with TerminalObserver(console) as observer:
            observer.begin(Progress(epoch=99, best_score=0.12345), 100, "log loss")
            observer.epoch(metrics(99, 0.12345, best=True))
            observer.step(Progress(epoch=99, batch=3, examples=96, loss_sum=12.3456,
                                   epoch_seconds=0.5), 10)  # fmt: skip
            assert observer._bar is not None
            observer._bar.refresh()
        shown = console.file.getvalue()
        assert "…" not in shown
        assert ("100/100 30% loss" in shown) == said


def test_elsewhere_it_is_quiet_but_for_messages():
    assert drive(screen(160, terminal=False)) == "warning: something is odd\n"


def test_numbers_read_as_people_write_them():
    assert [number(x) for x in (22062.4, 0.012345, 0.0, 1e-7, float("nan"))] == [
        "22,062",
        "0.01235",
        "0",
        "1.000e-7",
        "-",
    ]


def test_a_column_of_tiny_or_huge_numbers_has_exponents():
    assert aligned([1.234e-14, 0.5, None, 0.0]) == ["1.234e-14", "0.5", "-", "0"]
    assert aligned([20_103.4, 42_143.2]) == ["20,103", "42,143"]
    assert aligned([36.291, 141.5]) == ["36.29", "141.50"]
    assert aligned([-2e15]) == ["-2.000e15"]
    assert (percent(0.803), percent(None)) == ("80%", "-")
