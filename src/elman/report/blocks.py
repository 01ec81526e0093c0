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
    in for the caption of a small picture that shows none; `pixels` tells that it holds an image
    whose colours carry values, which a dark page must not change.
    """

    title: str
    caption: str
    svg: str
    narrow: str = ""
    keys: Sequence[Key] = ()
    size: Literal["wide", "half", "third"] = "wide"
    alt: str = ""
    pixels: bool = False
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side under one heading, legend and caption."""

    title: str
    pictures: Sequence[Picture]
    caption: str = ""
    keys: Sequence[Key] = ()
    kind: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Token:
    """A word or letter; `shade` from -1 to 1 says how strongly it is coloured, and in which colour.

    `under` is written below it (a tag), `wrong` marks that as wrong; `hint` is shown to a pointer.
    """

    text: str
    shade: float | None = None
    under: str = ""
    wrong: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Tokens:
    """Text word by word; `between` stands between two of them. `label` says what it is."""

    tokens: Sequence[Token]
    label: str = ""
    between: str = " "
    kind: ClassVar[str] = "tokens"


@dataclass(frozen=True)
class Letters:
    """A sequence of letters in groups of ten, each with the place of its first letter.

    A shade from -1 to 1 is drawn as a bar above the letter, whose colour tells the sign.
    """

    groups: Sequence[tuple[int, Sequence[Token]]]
    label: str
    kind: ClassVar[str] = "letters"


@dataclass(frozen=True)
class Bar:
    """A share of one as a bar, with its value in words."""

    label: str
    share: float
    value: str
    tone: Tone = ""


@dataclass(frozen=True)
class Bars:
    """Shares under each other."""

    bars: Sequence[Bar]
    kind: ClassVar[str] = "bars"


@dataclass(frozen=True)
class Photo:
    """A PNG, in base64, with the words for those who cannot see it."""

    png: str
    alt: str
    title: str = ""


@dataclass(frozen=True)
class Photos:
    """Pictures in a row, wrapped where there is no room; `sequence` marks them as in order."""

    photos: Sequence[Photo]
    caption: str = ""
    sequence: bool = False
    kind: ClassVar[str] = "photos"


@dataclass(frozen=True)
class Shade:
    """A cell of a matrix: a text, how dark it is (0 to 1), and in the colour of right or wrong."""

    text: str = ""
    amount: float = 0.0
    wrong: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Matrix:
    """A matrix of shaded cells with names on both axes; `words` say what is seen in it.

    `alt` stands in for cells without texts, for those who cannot see their shades.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[Shade]]
    row_title: str
    column_title: str
    title: str = ""
    words: str = ""
    alt: str = ""
    kind: ClassVar[str] = "matrix"


@dataclass(frozen=True)
class Said:
    """A name and a text in full, as they stand in the data."""

    name: str
    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Sayings:
    """Texts under their names: the truth, the prediction."""

    rows: Sequence[Said]
    kind: ClassVar[str] = "sayings"


@dataclass(frozen=True)
class Listing:
    """A numbered list of texts, best first."""

    title: str
    items: Sequence[str]
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True)
class Passage:
    """A text that a network wrote on from a prompt, as it stands, and how it was drawn."""

    prompt: str
    text: str
    how: str = ""
    kind: ClassVar[str] = "passage"


@dataclass(frozen=True)
class Card:
    """One example: what went in on the left, what came out on the right, the rest below.

    `even` gives both sides the same room.
    """

    title: str
    left: Sequence[Block]
    right: Sequence[Block]
    below: Sequence[Block] = ()
    tone: Tone = ""
    even: bool = False
    kind: ClassVar[str] = "card"


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str
    kind: ClassVar[str] = "heading"


Block = (
    Paragraph | Verdict | Tiles | Table | Facts | Remarks | Code | Picture | Gallery | Tokens
    | Letters | Bars | Photos | Matrix | Sayings | Listing | Passage | Card | Heading
)  # fmt: skip


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
