"""The options of training through time."""

from __future__ import annotations

from typing import Literal

from elman.options import MOST, Options, option

_EPOCHS = 1_000_000_000


class TrainingOptions(Options):
    """Training."""

    epochs: int = option(
        100, "Passes over what is trained on, in total (also when resumed).", ge=1, le=_EPOCHS
    )
    batch_size: int = option(32, "Windows, rows or streams in a mini-batch.", ge=1, le=MOST)
    tbptt: int | None = option(
        None,
        "Truncated backpropagation through time (Werbos 1990; Williams & Peng 1990): chunks of so "
        "many steps, the state carried on from one to the next and no gradient; for an answer at "
        "every step. Without it a forecast reads windows, tags whole rows, and next chunks of 100.",
        ge=1,
        le=MOST,
    )
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = option("adam", "The optimiser.")
    learning_rate: float = option(1e-3, "Step size of the optimiser.", gt=0)
    momentum: float = option(0.9, "Of SGD (Nesterov) and RMSprop.", ge=0, lt=1)
    weight_decay: float = option(0.0, "L2 penalty; decoupled with adamw.", ge=0)
    schedule: Literal["constant", "cosine", "plateau"] = option(
        "constant",
        "Learning rate over time: constant; cosine, to zero at the last epoch; plateau, halved "
        "after `patience` / 3 epochs without a better validation score.",
    )
    warmup: int = option(
        0, "Epochs over which the learning rate rises to its full value.", ge=0, le=_EPOCHS
    )
    clip_norm: float | None = option(
        1.0, "Largest norm of the gradient (Pascanu 2013); 0 for no limit.", ge=0
    )
    clip_value: float | None = option(None, "Largest absolute value of a gradient.", gt=0)
    clip_adaptive: float | None = option(
        None,
        "Largest norm of a unit's gradient, as a share of the norm of its weights, such as 0.05 "
        "(Brock 2021).",
        gt=0,
    )
    average: float = option(
        0.0,
        "Validate and keep a moving average of the weights, of which a step keeps this share "
        "(such as 0.999); 0 for none.",
        ge=0,
        lt=1,
    )
    keep: Literal["best", "last"] = option(
        "best",
        "Whose weights are kept: of the epoch with the best validation score, or of the last one "
        "(where a schedule ends at it).",
    )
    patience: int = option(
        20,
        "Epochs without a better validation score before training stops; 0: never.",
        ge=0,
        le=_EPOCHS,
    )
    seed: int = option(0, "Seed of every random number.", ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "Where to train.")
    precision: Literal["float32", "bf16"] = option("float32", "Of the forward pass.")
    threads: int | None = option(
        None, "CPU threads; if not given, one for a small network, else all.", ge=1, le=256
    )
    checkpoint_seconds: float = option(10.0, "Least time between two checkpoints.", ge=0)
