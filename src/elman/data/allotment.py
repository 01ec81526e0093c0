"""Rows shared out among parts: each class in proportion, or groups whole.

Legend: R rows, P parts, C classes, G groups.
"""

from __future__ import annotations

import numpy as np


def by_class(
    class_R: np.ndarray, shares_P: np.ndarray, generator: np.random.Generator, training: bool
) -> np.ndarray:
    """Return the part of each row: every class in proportion, in random order.

    Args:
        class_R: the class of each row, from 0 on.
        shares_P: the share of each part; they sum to 1.
        generator: decides which rows go where.
        training: part 0 trains: it has a row at least of every class.
    """
    part_R = np.empty(len(class_R), np.int64)
    sizes_C = np.bincount(class_R)
    by_class = np.split(np.argsort(class_R, kind="stable"), np.cumsum(sizes_C)[:-1])
    counts_CP = _in_whole_rows(sizes_C, shares_P, training)
    for rows, counts_P in zip(by_class, counts_CP, strict=True):
        part_R[generator.permutation(rows)] = np.repeat(np.arange(len(shares_P)), counts_P)
    return part_R


def _in_whole_rows(sizes_C: np.ndarray, shares_P: np.ndarray, training: bool) -> np.ndarray:
    """Return how many rows of each class go to each part: less than one off its share.

    What the rounding of one class gives a part too little or too much is carried on to the next
    class, so that the parts as a whole have their shares too, even where no class is large enough
    for one row.
    """
    shares_CP = np.tile(shares_P, (len(sizes_C), 1))
    if training:
        shares_CP[sizes_C == 1] = np.eye(len(shares_P))[0]
    exact_CP = sizes_C[:, None] * shares_CP
    # A number of rows asked for is a whole number but for the last bits of a float.
    whole_CP = exact_CP.round()
    exact_CP = np.where(np.abs(exact_CP - whole_CP) < 1e-9, whole_CP, exact_CP)
    counts_CP = np.floor(exact_CP).astype(np.int64)
    owed_P = np.zeros(len(shares_P))
    for exact_P, counts_P in zip(exact_CP, counts_CP, strict=True):
        wish_P = np.where(exact_P > counts_P, exact_P - counts_P + owed_P, -np.inf)
        if training and not counts_P[0]:
            wish_P[0] = np.inf
        left = round(exact_P.sum()) - int(counts_P.sum())
        counts_P[np.argsort(-wish_P, kind="stable")[:left]] += 1
        owed_P += exact_P - counts_P
    _settle(exact_CP, counts_CP, owed_P, training)
    return counts_CP


def _settle(
    exact_CP: np.ndarray, counts_CP: np.ndarray, owed_P: np.ndarray, training: bool
) -> None:
    """Move a row of some class from the part that got one too many to the one that lacks one."""
    while True:
        lacks, has = int(owed_P.argmax()), int(owed_P.argmin())
        up_C = counts_CP[:, has] > exact_CP[:, has]
        if training and has == 0:
            up_C &= counts_CP[:, has] > 1
        movable = np.flatnonzero(up_C & (counts_CP[:, lacks] < exact_CP[:, lacks]))
        if owed_P[lacks] - owed_P[has] <= 1 + 1e-6 or not len(movable):
            return
        counts_CP[movable[0], [has, lacks]] += [-1, 1]
        owed_P[[has, lacks]] += [1, -1]


def by_group(
    class_R: np.ndarray,
    group_R: np.ndarray,
    shares_P: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the part of each row: groups whole, from the largest on to where they fit best.

    No part stays empty as long as there are groups for it.

    A part's misfit is the chi-square distance of its rows, and of those of each class, from their
    share of all. Classes found in too few groups to be in every part count as one.
    """
    sizes_G = np.bincount(group_R)
    class_R = _common_classes(class_R, group_R, 1 / shares_P.min())
    rows_by_group = np.split(np.argsort(group_R, kind="stable"), np.cumsum(sizes_G)[:-1])
    # The first place is for rows of any class.
    wanted_PC = shares_P[:, None] * np.append(len(class_R), np.bincount(class_R))
    counts_PC = np.zeros_like(wanted_PC)
    part_G = np.empty(len(sizes_G), np.int64)
    shuffled = generator.permutation(len(sizes_G))
    order = shuffled[np.argsort(-sizes_G[shuffled], kind="stable")]
    filled_P = np.zeros(len(shares_P), bool)
    for left, group in zip(range(len(order), 0, -1), order.tolist(), strict=True):
        classes, numbers = np.unique(class_R[rows_by_group[group]], return_counts=True)
        places = np.append(0, classes + 1)
        numbers = np.append(sizes_G[group], numbers)
        wanted, present = wanted_PC[:, places], counts_PC[:, places]
        misfit_P = (numbers * (2 * (present - wanted) + numbers) / wanted).sum(1)
        if left <= np.count_nonzero(~filled_P):
            misfit_P[filled_P] = np.inf
        part = int(misfit_P.argmin())
        part_G[group], filled_P[part] = part, True
        counts_PC[part, places] += numbers
    return part_G[group_R]


def _common_classes(class_R: np.ndarray, group_R: np.ndarray, least: float) -> np.ndarray:
    """Return classes numbered anew: those found in fewer groups than `least` are one."""
    pairs = np.unique(np.stack([class_R, group_R]), axis=1)
    rare_C = np.bincount(pairs[0]) < least
    return np.unique(np.where(rare_C[class_R], -1, class_R), return_inverse=True)[1].reshape(-1)
