"""Writes the pages: the report of one run, and a comparison of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.files import write_atomically
from elman.report import about, diagnosis, forecasts, scores
from elman.report.blocks import Picture, Section
from elman.report.examples import answers, gallery, scoring, summary, texts
from elman.report.figures.canvas import PALETTE, with_prefix
from elman.report.reading import read_run
from elman.report.run_data import RunData, part

if TYPE_CHECKING:
    from jinja2 import Template


_RUN = (about.training, diagnosis.diagnosis, about.configuration, about.versions)
# Job of a run -> what its page shows, in order; a section that has nothing to show is None.
SECTIONS: dict[str, tuple[Callable[[RunData], Section | None], ...]] = {
    "forecasting": (
        about.headline,
        about.data,
        about.training,
        forecasts.forecasts,
        scores.scores,
        scores.horizon,
        scores.residuals,
        forecasts.worst,
        diagnosis.diagnosis,
        about.configuration,
        about.versions,
    ),
    "examples": (
        summary.headline,
        summary.data,
        scoring.scores,
        scoring.folds,
        answers.details,
        gallery.examples,
        texts.generated,
        *_RUN,
    ),
    "generation": (
        summary.headline,
        texts.generated,
        summary.data,
        scoring.scores,
        scoring.folds,
        answers.details,
        gallery.examples,
        *_RUN,
    ),
}


def write_report(run_folder: Path, *, series: Mapping[str, Any] | None = None) -> Path:
    """Write `report.html` into a run folder and return its path.

    Args:
        run_folder: a folder written by `elman fit`; metrics and predictions may be short or
            absent, which the page says.
        series: of forecasts, the raw data for the data plot, `{"columns": [...], "groups":
            [{"key": str | None, "time": array | None, "values": {column: array}}]}`; without it
            the plot shows what predictions.csv holds.

    Raises:
        InputError: if the folder is not a run, or a file of it cannot be read or written.
    """
    run = replace(read_run(Path(run_folder)), series=series)
    sections = [build(run) for build in SECTIONS[run.job]]
    data_name = part(run.model, "data").get("name") or run.folder.resolve().name
    title = f"{run.name} on {data_name}"
    return _write(run.folder / "report.html", title, "", [s for s in sections if s])


def write_comparison(path: Path, title: str, intro: str, sections: Sequence[Section]) -> Path:
    """Write a page of sections (several runs side by side, say) and return its path.

    Args:
        path: the file to write; its folder must exist.
        title: the page's heading.
        intro: one paragraph under it; may be empty.
        sections: what the page shows, made of the blocks of `elman.report.blocks`.

    Raises:
        InputError: if the file cannot be written.
    """
    return _write(Path(path), title, intro, sections)


def _write(path: Path, title: str, intro: str, sections: Sequence[Section]) -> Path:
    from markupsafe import Markup

    drawings = 0

    def inline(svg: str, kind: str, picture: Picture) -> Markup:
        # Ids are unique in a page: each drawing gets its own prefix, in order.
        nonlocal drawings
        drawings += 1
        prefix = f"f{drawings}-"
        kind += " pixels" if picture.pixels else ""
        name = Markup('<svg class="plot {}" role="img" aria-labelledby="{}t {}d" ').format(
            kind, prefix, prefix
        )
        words = Markup('<title id="{}t">{}</title><desc id="{}d">{}</desc>').format(
            prefix, picture.title, prefix, picture.caption or picture.alt
        )
        head, body = with_prefix(svg, prefix).split(">", 1)
        return name + Markup(head.removeprefix("<svg ") + ">") + words + Markup(body)

    text = _template().render(
        title=title, intro=intro, sections=sections, palette=PALETTE, inline=inline
    )
    # A lone surrogate (half of a character, as damaged JSON has) cannot be written.
    write_atomically(path, text.encode("utf-8", "replace").decode("utf-8"))
    return path


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("elman.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
