"""A plan ready for use on a worker: names looked up, slots as a table, rules compiled, pins as bytes.

And which arm of it scores which record of a batch: rule, then pin, then slot. A plan that leaves nothing to choose, the
common case, costs nothing a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model_store.core.plans import Plan, Target
from model_store.core.rules import CompiledRule, compile_rule
from model_store.core.slots import arm_indexes, slots_of
from model_store.core.state import Catalogue
from serving.core.columns import TextColumn
from serving.core.selection import NoSuchFields, matches

Chosen = Literal["", "primary", "arm", "pin", "rule"]

_REASONS: Final[tuple[Chosen, ...]] = ("primary", "arm", "pin", "rule")
_PRIMARY, _ARM, _PIN, _RULE = range(4)


@dataclass(frozen=True, slots=True)
class ActiveArm:
    """An arm, a dark version or a fallback.

    Attributes:
        name: Of the arm; empty for the primary, and for what is no arm.
        target: The version, for messages.
        version: Control offset of the version; -1 if the catalogue has none.
    """

    name: str
    target: Target
    version: int


@dataclass(frozen=True, slots=True)
class ActivePlan:
    """See the module.

    Attributes:
        key: Of the route.
        change: What results say made it serve: control offset of the record that asked for the change.
        arms: The first is the primary.
        salt: Of the slots.
        table: Slot -> arm, the last entry for records without an entity; `None`: all to the primary.
        pins: Entity -> arm.
        rules: Each with the arm that it selects.
        dark: Score too; their results go to the dark topic.
        fallback: Scores what its arm could not.
        decider: Name; empty: each record is scored by one arm.
        timeout_seconds: Of the decider.
    """

    key: str
    change: int
    arms: tuple[ActiveArm, ...]
    salt: str
    table: NDArray[np.uint8] | None
    pins: Mapping[bytes, int]
    rules: tuple[tuple[CompiledRule, int], ...]
    dark: tuple[ActiveArm, ...]
    fallback: ActiveArm | None
    decider: str = ""
    timeout_seconds: float = 0.0

    @property
    def chooses(self) -> bool:
        """Records are not all for the primary."""
        return self.table is not None or bool(self.pins) or bool(self.rules)

    def versions(self) -> set[int]:
        """Control offsets of all versions that it needs."""
        found = {arm.version for arm in (*self.arms, *self.dark)}
        return found if self.fallback is None else found | {self.fallback.version}


@dataclass(frozen=True, slots=True)
class Share:
    """The records of a batch that one arm scores for one reason.

    Attributes:
        arm: Index of the arm.
        reason: Why; empty where the plan leaves nothing to choose.
        rows: Positions among the rows that were asked about, ascending; `None` for all.
    """

    arm: int
    reason: Chosen
    rows: NDArray[np.intp] | None


def activate(catalogue: Catalogue, key: str, change: int, plan: Plan) -> ActivePlan:
    """A plan ready for use."""

    def arm(name: str, target: Target) -> ActiveArm:
        version = catalogue.version(target)
        return ActiveArm(name, target, version.control_offset if version is not None else -1)

    names = [each.name for each in plan.arms]
    has_slots = len(names) > 1 and bool(plan.slots)
    return ActivePlan(
        key,
        change,
        tuple(arm("" if i == 0 else each.name, each.target) for i, each in enumerate(plan.arms)),
        plan.salt,
        arm_indexes(plan.slots, names) if has_slots else None,
        {entity.encode(): names.index(name) for entity, name in plan.pins.items()},
        tuple((compile_rule(rule.when), names.index(rule.arm)) for rule in plan.rules),
        tuple(arm("", target) for target in plan.dark),
        arm("", plan.fallback) if plan.fallback is not None else None,
        plan.speculation.decider if plan.speculation is not None else "",
        plan.speculation.timeout_ms / 1e3 if plan.speculation is not None else 0.0,
    )


def shares(
    plan: ActivePlan,
    entities: Sequence[bytes | None],
    numbers: Mapping[str, NDArray[np.float64]],
    texts: Mapping[str, TextColumn],
    rows: int,
) -> tuple[list[Share], dict[int, str]]:
    """Which arm scores which of `rows` records, and the records for which a rule could say neither yes nor no.

    Args:
        plan: Of the records.
        entities: One a record; looked at only if the plan pins or has slots.
        numbers: Field -> float64 (rows,); looked at only if the plan has rules.
        texts: Field -> texts of the records; likewise.
        rows: How many.
    """
    if not plan.chooses:
        return [Share(0, "", None)], {}
    arms = np.zeros(rows, np.int64)
    reasons = np.full(rows, _PRIMARY, np.int64)
    if plan.table is not None:
        arms = plan.table[slots_of(plan.salt, entities)].astype(np.int64)
        reasons[arms != 0] = _ARM
    if plan.pins:
        pinned = np.fromiter((plan.pins.get(e, -1) if e else -1 for e in entities), np.int64, rows)
        has_pin = pinned >= 0
        arms[has_pin], reasons[has_pin] = pinned[has_pin], _PIN
    failures = _apply_rules(plan, numbers, texts, arms, reasons)
    codes = arms * len(_REASONS) + reasons
    if failures:
        codes[list(failures)] = -1
    found = np.unique(codes)
    if len(found) == 1 and found[0] >= 0:
        return [_share(int(found[0]), None)], failures
    return [_share(int(code), np.flatnonzero(codes == code)) for code in found.tolist() if code >= 0], failures


def _share(code: int, rows: NDArray[np.intp] | None) -> Share:
    arm, reason = divmod(code, len(_REASONS))
    return Share(arm, _REASONS[reason], rows)


def _apply_rules(
    plan: ActivePlan,
    numbers: Mapping[str, NDArray[np.float64]],
    texts: Mapping[str, TextColumn],
    arms: NDArray[np.int64],
    reasons: NDArray[np.int64],
) -> dict[int, str]:
    """The first rule that matches wins; a record for which an earlier one fails is not scored by a guess."""
    failures: dict[int, str] = {}
    is_free = np.ones(len(arms), np.bool_)
    for number, (rule, arm) in enumerate(plan.rules, 1):
        found = matches(rule, numbers, texts, len(arms))
        if isinstance(found, NoSuchFields):
            return dict.fromkeys(range(len(arms)), f"rule {number} of route {plan.key!r}: {found}")
        for row, why in found.failures.items():
            if is_free[row]:
                failures[row] = f"rule {number} of route {plan.key!r} cannot be evaluated: {why}"
                is_free[row] = False
        wins = found.rows & is_free
        arms[wins], reasons[wins] = arm, _RULE
        is_free &= ~wins
    return failures
