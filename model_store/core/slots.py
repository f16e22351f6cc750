"""Entity -> slot -> arm: which arm of a route an entity belongs to, the same in every process and for ever.

A route has `SLOTS` slots. An entity's slot is a salted hash, so it depends on nothing but the salt and the entity. Which
arm has which slots is laid out once, when a route changes, and is part of the route's plan; it is never computed anew
from the weights alone. That is what keeps entities where they are: a new layout starts from the one before it and moves
only as many slots as the weights make it move.

The hash: `xxh3_64(entity, seed = xxh3_64(salt in UTF-8)) mod 10,000`. It is part of the wire contract: anyone with the
plan can tell which arm an entity belongs to.

A record without an entity (no key, or an empty one) has the slot `NO_SLOT` and is served by the primary, the first arm,
whatever its weight is: such records cannot be told apart, so no share of them could be kept on one arm.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

SLOTS: Final = 10_000
"""Slots of a route: one a basis point of weight."""

NO_SLOT: Final = -1
"""The slot of a record that has no entity. It indexes the last entry of `arm_indexes`, which is the primary."""

_FREE: Final = -1


@dataclass(frozen=True, slots=True)
class SlotRun:
    """Neighbouring slots that belong to one arm; they end where the next run starts, the last at `SLOTS`.

    Attributes:
        first: The first slot of the run, from 0.
        arm: Name of the arm.
    """

    first: int
    arm: str


def slot_of(salt: str, entity: bytes) -> int:
    """The slot of one entity, 0 to 9,999; `NO_SLOT` if the entity is empty."""
    return xxh3_64_intdigest(entity, _seed(salt)) % SLOTS if entity else NO_SLOT


def slots_of(salt: str, entities: Sequence[bytes | None]) -> NDArray[np.int64]:
    """The slots of a batch, int64 (n,): `slot_of` for each, with each distinct entity hashed once; `NO_SLOT` for `None`."""
    distinct = dict.fromkeys(entities)
    seed = _seed(salt)
    slots = [xxh3_64_intdigest(entity, seed) % SLOTS if entity else NO_SLOT for entity in distinct]
    hashed = np.array(slots, np.int64)
    if len(distinct) == len(entities):
        return hashed
    if len(distinct) == 1:
        return np.repeat(hashed, len(entities))
    slot = dict(zip(distinct, slots, strict=True))
    return np.fromiter(map(slot.__getitem__, entities), np.int64, len(entities))


def layout(previous: tuple[SlotRun, ...], weights: Mapping[str, int]) -> tuple[SlotRun, ...]:
    """Give each arm as many slots as its weight, and move no more slots than that takes.

    An arm that grows gets slots only from arms that shrink or are gone. An arm that shrinks keeps the others of its slots,
    and an arm whose weight stays keeps all. The primary gives up its highest slots, the other arms their lowest, so an arm
    that is raised at the cost of the primary and lowered again gives back what it got last.

    Args:
        previous: The layout that serves now; empty for a route's first, which lays the arms out one after the other.
        weights: Arm -> weight in basis points, in the order of the arms, the primary first. An arm may have 0.

    Returns:
        The runs of slots 0 to 9,999, ascending, no two neighbours of the same arm. The same for the same arguments.

    Raises:
        ValueError: A weight is negative, the weights do not add up to 10,000, or `previous` is not a layout.
    """
    _check(weights)
    names = list(weights)
    owner = _owners(previous, names) if previous else np.full(SLOTS, _FREE, np.int64)
    for arm, name in enumerate(names):
        held = np.flatnonzero(owner == arm)
        surplus = len(held) - weights[name]
        if surplus > 0:
            owner[held[-surplus:] if arm == 0 else held[:surplus]] = _FREE
    needed = [weights[name] - int((owner == arm).sum()) for arm, name in enumerate(names)]
    owner[owner == _FREE] = np.repeat(np.arange(len(names)), needed)
    firsts = np.flatnonzero(np.diff(owner, prepend=_FREE))
    return tuple(SlotRun(first, names[arm]) for first, arm in zip(firsts.tolist(), owner[firsts].tolist(), strict=True))


def weights_of(runs: Sequence[SlotRun]) -> dict[str, int]:
    """Arm -> how many slots it has, for the arms that have any, in the order of their first slots."""
    ends = [*(run.first for run in runs[1:]), SLOTS]
    found: dict[str, int] = {}
    for run, end in zip(runs, ends, strict=True):
        found[run.arm] = found.get(run.arm, 0) + end - run.first
    return found


def arm_at(runs: Sequence[SlotRun], slot: int) -> str:
    """The arm that has `slot`, for one look-up; a batch uses `arm_indexes`.

    Raises:
        ValueError: `slot` is not in 0 to 9,999. `NO_SLOT` belongs to the primary, which the runs do not name.
    """
    if not 0 <= slot < SLOTS:
        raise ValueError(f"a slot is a number from 0 to {SLOTS - 1}, got {slot}")
    return runs[bisect_right(runs, slot, key=attrgetter("first")) - 1].arm


def arm_indexes(runs: Sequence[SlotRun], arm_names: Sequence[str]) -> NDArray[np.uint8]:
    """Slot -> index into `arm_names`, as a table: `arm_indexes(...)[slots_of(...)]` is the arms of a batch.

    Returns:
        uint8 (10,001,), read-only. The last entry is 0, the primary, so that `NO_SLOT` looks it up.

    Raises:
        ValueError: A run names an arm that is not in `arm_names`, there are more than 256 arms, or `runs` is not a layout.
    """
    if len(arm_names) > 256:
        raise ValueError(f"a route has at most 256 arms, got {len(arm_names)}")
    owner = _owners(runs, arm_names)
    if (owner == _FREE).any():
        unknown = sorted({run.arm for run in runs}.difference(arm_names))
        raise ValueError(f"the slots name arms that the route does not have: {', '.join(map(repr, unknown))}")
    table = np.append(owner, 0).astype(np.uint8)
    table.flags.writeable = False
    return table


def _seed(salt: str) -> int:
    return xxh3_64_intdigest(salt.encode())


def _check(weights: Mapping[str, int]) -> None:
    for name, weight in weights.items():
        if weight < 0:
            raise ValueError(f"arm {name!r} has a negative weight, {weight}")
    if (total := sum(weights.values())) != SLOTS:
        raise ValueError(f"the weights of the arms are basis points and add up to {SLOTS}, got {total}")


def _owners(runs: Sequence[SlotRun], names: Sequence[str]) -> NDArray[np.int64]:
    """Slot -> index into `names`, int64 (10,000,); `_FREE` where the arm is not among them."""
    firsts = np.array([run.first for run in runs], np.int64)
    lengths = np.diff(firsts, append=SLOTS)
    if not len(firsts) or firsts[0] != 0 or (lengths <= 0).any():
        raise ValueError(f"runs of slots start at 0 and ascend below {SLOTS}, got {[run.first for run in runs][:20]}")
    index = {name: arm for arm, name in enumerate(names)}
    return np.repeat(np.array([index.get(run.arm, _FREE) for run in runs], np.int64), lengths)
