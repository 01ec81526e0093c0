"""The pieces a page is made of: sections of paragraphs, tables, tiles, findings and pictures.

They carry words and finished drawings only; the template decides how each one looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

Tone = Literal["", "good", "bad", "note", "warning", "error"]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; `tone` colours a remark ("warning", "note")."""

    text: str
    tone: Tone = ""
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Verdict:
    """The one sentence a reader came for, with whether it is good news."""

    text: str
    tone: Tone = ""
    kind: ClassVar[str] = "verdict"


@dataclass(frozen=True)
class Tile:
    """One score in large type, with what it stands beside."""

    title: str
    value: str
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Tiles:
    """A row of tiles."""

    tiles: Sequence[Tile]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Cell:
    """One cell of a table; `strong` marks the best value of its column."""

    text: str
    strong: bool = False
    tone: Tone = ""


@dataclass(frozen=True)
class Table:
    """A table: `align` has one letter a column, `l` for words and `r` for numbers.

    `marked` names the rows to set apart (the model among the baselines).
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    caption: str = ""
    align: str = ""
    marked: frozenset[int] = frozenset()
    kind: ClassVar[str] = "table"

    def alignment(self, index: int) -> str:
        """Return `l` or `r` for a column."""
        return self.align[index] if index < len(self.align) else "l"

    def cell(self, value: str | Cell) -> Cell:
        """Return a cell whatever a row holds."""
        return value if isinstance(value, Cell) else Cell(value)


@dataclass(frozen=True)
class Facts:
    """Names and values, one a line."""

    rows: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Remark:
    """A finding about the data, with what to do about it."""

    severity: Tone
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Remarks:
    """Findings, worst first."""

    items: Sequence[Remark]
    kind: ClassVar[str] = "remarks"


@dataclass(frozen=True)
class Code:
    """Text to be read or copied as it is."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Key:
    """One entry of a picture's legend: its name, the palette's colour and how it is drawn."""

    label: str
    colour: str
    style: Literal["line", "dash", "dot", "dashdot", "bar", "band", "fill"] = "line"


@dataclass(frozen=True)
class Picture:
    """A drawing with its words; `caption` says what is seen, also to those who cannot see it.

    `narrow` is the same drawing for a phone, where `svg` would shrink beyond reading; `alt` stands
    in for the caption of a small picture that shows none.
    """

    title: str
    caption: str
    svg: str
    narrow: str = ""
    keys: Sequence[Key] = ()
    size: Literal["wide", "half", "third"] = "wide"
    alt: str = ""
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side under one heading, legend and caption."""

    title: str
    pictures: Sequence[Picture]
    caption: str = ""
    keys: Sequence[Key] = ()
    kind: ClassVar[str] = "gallery"


Block = Paragraph | Verdict | Tiles | Table | Facts | Remarks | Code | Picture | Gallery


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; a plain string among the blocks is a paragraph."""

    heading: str
    blocks: Sequence[Block | str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """The heading as a link target."""
        kept = (letter if letter.isalnum() else "-" for letter in self.heading.lower())
        return "-".join(part for part in "".join(kept).split("-") if part)

    def items(self) -> list[Block]:
        """Return the blocks with strings made paragraphs."""
        return [Paragraph(block) if isinstance(block, str) else block for block in self.blocks]
