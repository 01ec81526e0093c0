"""`elman generate`: text that goes on from a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer, summary: str) -> None:
    """Add the verb."""
    epilog = (
        "For runs whose target is `next`. Each text is printed with its prompt; of several, a "
        "line ===== stands between."
    )
    app.command("generate", help=summary, epilog=epilog)(generate)


def generate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    prompt: Annotated[str, typer.Option(help="How the text begins.")] = "",
    length: Annotated[int, typer.Option(help="Tokens to write.")] = 500,
    count: Annotated[int, typer.Option(help="How many texts.")] = 1,
    temperature: Annotated[
        float, typer.Option(help="Below 1 the likely becomes likelier; 0: always the likeliest.")
    ] = 0.8,
    top_k: Annotated[
        int | None, typer.Option(help="Draw from so many of the likeliest tokens only.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Draw from the likeliest tokens that have this probability together."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
) -> None:
    """Write text."""
    from elman.model import Model

    texts = Model.load(run).generate(
        prompt,
        length=length,
        count=count,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
    )
    print("\n=====\n".join(prompt + text for text in texts))
