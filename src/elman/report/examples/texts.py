"""The section of texts that the network wrote."""

from __future__ import annotations

from elman.report.blocks import Block, Paragraph, Passage, Section
from elman.report.run_data import RunData

_MOST = 12
_LONGEST = 5000


def generated(run: RunData) -> Section | None:
    """What the network wrote, each text after its prompt; None where it is to write nothing."""
    written = run.samples.generated
    if not written:
        if run.job != "generation":
            return None
        words = "There is no generated text in the run folder."
        return Section("Generated text", [Paragraph(words, "warning")])
    blocks: list[Block | str] = [
        "Written by the network; what it was given to go on from is marked."
        if any(each.prompt for each in written)
        else "Written by the network, from nothing."
    ]
    for each in written[:_MOST]:
        text = each.text.removeprefix(each.prompt)
        cut = len(text) - _LONGEST
        how = f"{each.how}; {cut:,} characters more" if cut > 0 and each.how else each.how
        blocks.append(Passage(each.prompt, text[:_LONGEST] + (" …" if cut > 0 else ""), how))
    if len(written) > _MOST:
        blocks.append(f"{len(written) - _MOST} more are in samples.json.")
    return Section("Generated text", blocks)
