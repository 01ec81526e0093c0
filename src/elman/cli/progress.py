"""How training goes, on a terminal: one live line while an epoch runs, a row for each better one.

Where the output is no terminal it stays quiet but for warnings and the last word; the figures are
in `metrics.jsonl` in any case.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from elman.cli.numbers import number
from elman.training.observer import EpochMetrics, Observer

if TYPE_CHECKING:
    from elman.training.checkpoint import Progress as TrainingProgress

# One column, so that nothing is cut on a terminal of 80; wider ones have a bar besides.
_FIGURES = TextColumn(
    "epoch [bold]{task.fields[epoch]}[/]/{task.fields[epochs]}{task.fields[done]} "
    "loss [bold]{task.fields[loss]}[/] "
    "{task.fields[score_name]} [bold]{task.fields[score]}[/] "
    "best [bold green]{task.fields[best]}[/] "
    "grad {task.fields[norm]} {task.fields[speed]}/s"
)
_ROOM_FOR_A_BAR = 110
_ROOM_FOR_ALL = 90  # how much of the epoch is done, beside a score whose name is not short
_SHORT = len("MAE")


class _TimeLeft(ProgressColumn):
    """Time left until the last epoch; early stopping may end sooner."""

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        if left is None:
            return Text("≤-:--")
        minutes, seconds = divmod(int(left), 60)
        return Text(f"≤{minutes}:{seconds:02d}", style="cyan")


class TerminalObserver(Observer):
    """Shows training on standard error; a context, which gives the terminal back at its end."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._shown = 0.0

    def __enter__(self) -> TerminalObserver:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def message(self, text: str, *, warning: bool = False) -> None:
        """Print a line."""
        prefix = Text("warning: ", style="yellow") if warning else Text("")
        self.console.print(prefix + Text(text), soft_wrap=True)

    def begin(self, progress: TrainingProgress, epochs: int, score_name: str) -> None:
        """Open the live line."""
        if not self.console.is_terminal:
            return
        best = progress.best_score
        self._best = "-" if best is None else number(best)
        self._says_done = len(score_name) <= _SHORT or self.console.width >= _ROOM_FOR_ALL
        bar = [BarColumn(bar_width=None)] if self.console.width >= _ROOM_FOR_A_BAR else []
        self._bar = Progress(_FIGURES, *bar, _TimeLeft(), console=self.console, transient=True)
        self._task = self._bar.add_task(
            "",
            total=epochs,
            completed=progress.epoch,
            epochs=epochs,
            epoch=progress.epoch + 1,
            score_name=score_name,
            best=self._best,
            done="",
            **dict.fromkeys(("loss", "score", "norm", "speed"), "-"),
        )
        self._bar.start()

    def step(self, progress: TrainingProgress, num_batches: int) -> None:
        """Move the bar within the epoch, a few times a second at most."""
        now = time.monotonic()
        if self._bar and now - self._shown > 0.2:
            self._shown = now
            self._bar.update(
                self._task,
                epoch=progress.epoch + 1,
                completed=progress.epoch + progress.batch / num_batches,
                loss=number(progress.loss_sum / max(1, progress.examples)),
                norm=number(progress.norm_sum / max(1, progress.examples)),
                speed=number(progress.examples / max(progress.epoch_seconds, 1e-9)),
                done=f" {progress.batch / num_batches:.0%}" if self._says_done else "",
            )

    def epoch(self, metrics: EpochMetrics) -> None:
        """Show the epoch's figures."""
        if not self._bar:
            return
        if metrics.best:
            self._best = number(metrics.valid_score)
        self._bar.update(
            self._task,
            completed=metrics.epoch,
            epoch=metrics.epoch,
            loss=number(metrics.train_loss),
            score=number(metrics.valid_score),
            best=self._best,
            norm=number(metrics.gradient_norm),
            speed=number(metrics.examples_per_second),
            done="",
        )

    def end(self, progress: TrainingProgress) -> None:
        """Close the live line."""
        self._close()

    def _close(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None
