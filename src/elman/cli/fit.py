"""`elman fit`: train a network on a table, into a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli.options import with_options
from elman.config import GROUPS, Config, read_config
from elman.errors import ElmanError, InputError

EPILOG = (
    "Examples: elman fit prices.csv --input series:open,close,volume --target forecast:close "
    "--time date --horizon 5; elman fit reviews.csv --input text:review --target category:label. "
    "Exit status 3: training diverged; 130: interrupted, go on with --resume."
)


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb."""
    app.command("fit", help=summary, epilog=EPILOG)(
        with_options(fit, [*GROUPS, Config], leave_out=["table"])
    )


def fit(
    table: Annotated[
        Path | None, typer.Argument(help="CSV, TSV, JSONL, Parquet, text or FASTA.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of options; those given here win.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder to make.", show_default="runs/TABLE")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this run from its last checkpoint.")
    ] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Train on a table."""
    if resume is not None:
        run = _resume(resume, given, {"TABLE": table, "--config": config, "--out": out})
    else:
        run = _start(gather(table, config, given), out)
    _say_result(*run)


class RunInterruptedError(ElmanError):
    """Ctrl-C or SIGTERM; the run's folder is there."""

    exit_status = 130


@contextmanager
def _hint_to_resume(run: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not run.exists():
            raise
        hint = f"`elman fit --resume {run}` goes on where it stopped"
        raise RunInterruptedError(f"interrupted; {hint}") from None


def gather(table: Path | None, config: Path | None, given: dict[str, Any]) -> Config:
    """Return the options of a configuration file, then those given on the command line."""
    values = (read_config(config) if config else {}) | given
    if table is not None:
        values["table"] = str(table)
    for name, example in (("inputs", "series:close"), ("target", "forecast:close")):
        if name not in values:
            option = "input" if name == "inputs" else name
            raise InputError(f"--{option} is missing; for example: --{option} {example}")
    spelled = {name: f"--{name.replace('_', '-')}" for name in given}
    checked = Config.parse(values, str(config or "options"), spelled)
    if checked.table is None:
        raise InputError("no table given; for example: elman fit prices.csv --input ...")
    return checked


def _start(config: Config, out: Path | None) -> tuple[Any, Path]:
    from elman.cli.progress import TerminalObserver
    from elman.cross_validation import cross_validate
    from elman.model import Model
    from elman.run_folder import new_folder

    assert config.table is not None
    run, model = new_folder(out, Path(config.table).stem), Model.from_config(config)
    with _hint_to_resume(run), TerminalObserver() as observer:
        if _is_cross_validation(config, None):
            return cross_validate(model, config.table, run, observer), run
        return model.fit(config.table, config.valid_table, run=run, observer=observer), run


def _is_cross_validation(config: Config, fold: int | None) -> bool:
    return bool(config.folds or config.folds_by) and config.fold == fold


def _resume(run: Path, given: dict[str, Any], others: dict[str, Any]) -> tuple[Any, Path]:
    from elman.cli.progress import TerminalObserver
    from elman.cross_validation import resume_cross_validation
    from elman.model import Model
    from elman.run_folder import RunFolder

    if named := [name for name, value in others.items() if value is not None]:
        raise InputError(f"--resume goes on with what the run was given; leave out {named[0]}")
    is_cross_validation = _is_cross_validation(RunFolder(run).read_config(), 0)
    if is_cross_validation and given:
        raise InputError(
            f"{', '.join(given)} cannot change in the middle of a cross-validation, whose folds "
            "are to be alike; leave it out"
        )
    with _hint_to_resume(run), TerminalObserver() as observer:
        if is_cross_validation:
            return resume_cross_validation(run, observer), run
        return Model.resume(run, given, observer), run


def _say_result(model: Any, run: Path) -> None:
    from elman.cli.scores import print_scores
    from elman.report import write_report

    print_scores(model.document["scores"])
    page = write_report(run, series=model.series(model.config.table))
    training, network = model.document["training"], model.document["network"]
    print(model.document["verdict"])
    for hint in _hints(model, run):
        print(hint)
    print(
        f"{network['summary']}; {training['epochs']} epochs in {training['seconds']:.1f} s, the "
        f"best was {training['best_epoch']} ({training['stopped']})"
    )
    print(f"run:    {run}")
    print(f"report: {page}")


def _hints(model: Any, run: Path) -> Iterator[str]:
    """Yield what may make the next run better, where the run itself shows it."""
    training, config = model.document["training"], model.config
    beaten = "not beat" in model.document["verdict"]
    if model.document["data"].get("period") == 1:
        yield "no season was found in the training span; --period sets one"
    elif beaten and config.time and not config.calendar:
        yield "the times may tell more: --calendar hour,weekday,yearday, as far as they apply"
    if training["best_epoch"] == training["epochs"] == config.epochs and config.epochs > 1:
        yield "the last epoch was the best: more may help" + _how_to_go_on(config, run)


def _how_to_go_on(config: Config, run: Path) -> str:
    if config.fold == 0:
        return "; start a new run with more --epochs"
    if config.schedule == "cosine":  # its rate has come to zero
        return f"; start a new run with --epochs {2 * config.epochs}"
    return f"; `elman fit --resume {run} --epochs {2 * config.epochs}` goes on"
