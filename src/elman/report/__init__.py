"""Figures and the HTML pages: one offline file that shows a run, or several beside each other.

`write_report` makes a run's own page. A page of another make is written by `write_comparison` from
`Section`s of plain strings, `Table`s, `Picture`s and the other blocks; `read_run`, `score_table`,
`compare_forecasts` and `compare_training` turn run folders into those.
"""

from elman.report.blocks import (
    Block,
    Cell,
    Facts,
    Gallery,
    Paragraph,
    Picture,
    Section,
    Table,
    Tile,
    Tiles,
    Verdict,
)
from elman.report.figures.compare import compare_forecasts, compare_training
from elman.report.page import write_comparison, write_report
from elman.report.reading import read_run
from elman.report.run_data import RunData
from elman.report.scores import score_table

__all__ = [
    "Block",
    "Cell",
    "Facts",
    "Gallery",
    "Paragraph",
    "Picture",
    "RunData",
    "Section",
    "Table",
    "Tile",
    "Tiles",
    "Verdict",
    "compare_forecasts",
    "compare_training",
    "read_run",
    "score_table",
    "write_comparison",
    "write_report",
]
