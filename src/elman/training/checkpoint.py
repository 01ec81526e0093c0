"""Everything a run needs to go on as if it had never stopped, in one file that is whole or absent.

A checkpoint is a safetensors file: groups of tensors (the network, the best one so far, averaged
weights, the state that a stream carries from one mini-batch to the next) and the optimiser's; in
its header, as JSON, the position in the data, the schedule and the best score.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elman.errors import InputError
from elman.files import write_atomically

FILE_NAME = "last.safetensors"


@dataclass
class Progress:
    """Where training stands.

    Attributes:
        epoch: epochs that are complete.
        batch: mini-batches of the next epoch that are done.
        step: optimiser steps in all.
        loss_sum, norm_sum, examples, epoch_seconds: sums over the `batch` mini-batches done of this
            epoch.
        best_score, best_epoch: the lowest validation score, and the epoch that reached it.
        reductions, reduced_at: how often `plateau` lowered the learning rate, and when last.
        seconds: time spent on complete epochs and their validation, all sessions together.
        stopped: why training ended, once it has.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    examples: int = 0
    epoch_seconds: float = 0.0
    best_score: float | None = None
    best_epoch: int = 0
    reductions: int = 0
    reduced_at: int = 0
    seconds: float = 0.0
    stopped: str | None = None


def save(
    path: Path,
    progress: Progress,
    groups: Mapping[str, Mapping[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    data: str,
) -> None:
    """Write the checkpoint at `path`; the previous one stays until this one is whole.

    `groups` are tensors by name, `network` among them; `data` is a digest of what the network is
    trained on, and how.
    """
    from safetensors.torch import save as to_bytes

    tensors = {
        f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()
    }
    state = optimizer.state_dict()
    scalars: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
            else:
                scalars.setdefault(str(index), {})[name] = value
    header = {
        "data": data,
        "progress": json.dumps(asdict(progress)),
        "optimizer": json.dumps({"groups": state["param_groups"], "scalars": scalars}),
    }
    # Copies: tied parameters share memory, which the format refuses.
    stored: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        value = value.detach().cpu().contiguous()
        stored[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    write_atomically(path, to_bytes(stored, header))


def load(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, data: str
) -> tuple[Progress, dict[str, dict[str, Tensor]]]:
    """Restore network and optimiser from `path`; return the progress and the groups of tensors.

    Raises:
        InputError: the file is damaged, or was made with another network or with other data.
    """
    from safetensors import SafetensorError, safe_open

    groups: dict[str, dict[str, Tensor]] = defaultdict(dict)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            for name in file.keys():  # noqa: SIM118 (not a dict: it has no __iter__)
                part, rest = name.split("/", 1)
                groups[part][rest] = file.get_tensor(name)
        progress = Progress(**json.loads(header["progress"]))
        network.load_state_dict(groups["network"])
        _restore(optimizer, json.loads(header["optimizer"]), groups["optimizer"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path}: not a checkpoint of this run, or a damaged one ({_one_line(error)}); remove "
            "it to train from the start"
        ) from None
    if header["data"] != data:
        raise InputError(
            f"{path}: the table or the options in config.yaml have changed since this checkpoint "
            "was made, so the run cannot go on as if it had never stopped; bring the old ones "
            "back, or start a new run"
        )
    return progress, groups


def _restore(
    optimizer: torch.optim.Optimizer, header: dict[str, Any], tensors: dict[str, Tensor]
) -> None:
    state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in header["scalars"].items()}
    for name, value in tensors.items():
        index, entry = name.split("/", 1)
        state.setdefault(int(index), {})[entry] = value
    optimizer.load_state_dict({"state": state, "param_groups": header["groups"]})


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
