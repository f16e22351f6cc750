"""What a route serves, as one value: arms with weights, pins, rules, dark versions, a fallback, a way to decide.

For one record the order is: the first rule that matches, then the pin of its entity, then the hash slot of its entity
(`slots`). So an entity never mixes versions while a plan stands, and raising an arm's weight only moves entities to it.
A plan never changes; a route is given another one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from immutables import Map

from model_store.core.errors import InvalidPlanError
from model_store.core.replacing import replace
from model_store.core.rules import InvalidRuleError, compile_rule
from model_store.core.slots import SlotRun, layout

PRIMARY: Final = "primary"
"""Name of the first arm where nobody named it."""

WHOLE: Final = 10_000
"""Weights are in basis points of the traffic."""

MAX_ARMS: Final = 50
MAX_RULES: Final = 100
MAX_PINS: Final = 10_000
DEFAULT_TIMEOUT_MS: Final = 150
"""The speculative mode of the source systems waits so long."""


@dataclass(frozen=True, slots=True)
class Target:
    """A version that a plan names.

    Attributes:
        model: Registered model name.
        version: Its number.
        alias: The alias that it was found by; the route is moved on when the alias moves. Empty: a fixed version.
    """

    model: str
    version: int
    alias: str = ""

    def __str__(self) -> str:
        return f"{self.model} v{self.version}"


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the versions that share a route's records.

    Attributes:
        name: Unique in the plan; results carry it.
        target: What it scores with.
        weight: Share of the entities in basis points; all arms together have 10,000.
    """

    name: str
    target: Target
    weight: int = WHOLE


@dataclass(frozen=True, slots=True)
class Rule:
    """Selects an arm by the fields of a record.

    Attributes:
        when: A CEL expression over the stream's fields.
        arm: Name of an arm of the plan; it may have weight 0.
    """

    when: str
    arm: str


@dataclass(frozen=True, slots=True)
class Speculation:
    """All arms score every record, and a decider picks.

    Attributes:
        decider: `first`, `best_confidence`, `vote`, `mean`, or that of an entry point.
        timeout_ms: Arms that have not answered by then do not take part.
    """

    decider: str
    timeout_ms: int = DEFAULT_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class Plan:
    """See the module.

    Attributes:
        arms: At least one; the first is the primary.
        salt: Hashed with the entity; another salt shuffles all entities anew.
        slots: Which hash slots belong to which arm; the fold lays them out. Empty: the primary has all of them.
        pins: Entity -> name of the arm that scores it whatever its slot.
        rules: The first that matches wins.
        dark: Versions that score too, and whose results go to the stream's dark topic only.
        fallback: Scores the records that their arm could not.
        speculation: `None`: each record is scored by one arm.
    """

    arms: tuple[Arm, ...]
    salt: str = ""
    slots: tuple[SlotRun, ...] = ()
    pins: Map[str, str] = field(default_factory=Map)
    rules: tuple[Rule, ...] = ()
    dark: tuple[Target, ...] = ()
    fallback: Target | None = None
    speculation: Speculation | None = None

    @property
    def primary(self) -> Arm:
        """The first arm."""
        return self.arms[0]

    def targets(self) -> Iterator[Target]:
        """All versions that it needs, some perhaps twice."""
        yield from (arm.target for arm in self.arms)
        yield from self.dark
        if self.fallback is not None:
            yield self.fallback

    def serving_targets(self) -> Iterator[Target]:
        """The versions whose results reach the result topic."""
        yield from (arm.target for arm in self.arms)
        if self.fallback is not None:
            yield self.fallback

    def arm(self, name: str) -> Arm | None:
        """The arm of this name."""
        return next((arm for arm in self.arms if arm.name == name), None)

    def laid_out(self, before: Plan | None) -> Plan:
        """The same plan with its slots, moved as little as possible from those of the plan before."""
        if len(self.arms) == 1:
            return replace(self, slots=())
        weights = {arm.name: arm.weight for arm in self.arms}
        is_kept = before is not None and before.salt == self.salt
        previous = before.slots or _all_primary(before) if before is not None and is_kept else ()
        return replace(self, slots=layout(previous, weights))

    @property
    def digest(self) -> str:
        """Names what the plan says, in hexadecimal: equal for equal plans, whatever their slots. Approvals bind to it."""
        parts = [
            repr(replace(self, slots=(), pins=Map())),
            *(f"{entity}={arm}" for entity, arm in sorted(self.pins.items())),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def plain_plan(model: str, version: int, salt: str = "") -> Plan:
    """One version for all records."""
    return Plan((Arm(PRIMARY, Target(model, version)),), salt)


def check_plan(plan: Plan) -> None:
    """Pass a plan that makes sense by itself; whether its versions exist is for the fold to say.

    Raises:
        InvalidPlanError: It does not; the message names the part and what was expected.
    """
    if not plan.arms:
        raise InvalidPlanError("a plan needs at least one arm: the primary")
    if len(plan.arms) > MAX_ARMS:
        raise InvalidPlanError(f"a plan has at most {MAX_ARMS} arms, this one has {len(plan.arms)}")
    names = [arm.name for arm in plan.arms]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidPlanError(f"two arms are named {twice[0]!r}")
    if "" in names:
        raise InvalidPlanError("every arm needs a name")
    if any(not 0 <= arm.weight <= WHOLE for arm in plan.arms) or (total := sum(a.weight for a in plan.arms)) != WHOLE:
        total = sum(arm.weight for arm in plan.arms)
        raise InvalidPlanError(f"the weights of all arms together are {WHOLE} basis points, these are {total}")
    if len(plan.pins) > MAX_PINS:
        raise InvalidPlanError(f"at most {MAX_PINS} entities can be pinned, these are {len(plan.pins)}")
    if "" in plan.pins:
        raise InvalidPlanError("a pin names an entity, not nothing: a record without one is the primary's")
    for entity, arm in plan.pins.items():
        if arm not in names:
            raise InvalidPlanError(f"entity {entity!r} is pinned to {arm!r}; the arms are {', '.join(names)}")
    _check_rules(plan, names)
    if plan.speculation is not None and not 1 <= plan.speculation.timeout_ms <= 60_000:
        raise InvalidPlanError(f"timeout_ms is 1 to 60,000, not {plan.speculation.timeout_ms}")
    if plan.speculation is not None and not plan.speculation.decider:
        raise InvalidPlanError("speculation needs a decider: first, best_confidence, vote or mean")


def scaled(weights: Mapping[str, int], whole: int) -> dict[str, int]:
    """Weights in the same proportions that add up to `whole` (largest remainders, ties in order)."""
    total = sum(weights.values())
    if total == 0:
        return {name: whole if i == 0 else 0 for i, name in enumerate(weights)}
    exact = {name: weight * whole / total for name, weight in weights.items()}
    floors = {name: math.floor(share) for name, share in exact.items()}
    left = whole - sum(floors.values())
    for name in sorted(weights, key=lambda name: floors[name] - exact[name])[:left]:
        floors[name] += 1
    return floors


def _check_rules(plan: Plan, names: list[str]) -> None:
    if len(plan.rules) > MAX_RULES:
        raise InvalidPlanError(f"a plan has at most {MAX_RULES} rules, this one has {len(plan.rules)}")
    for number, rule in enumerate(plan.rules, 1):
        if rule.arm not in names:
            raise InvalidPlanError(f"rule {number} selects {rule.arm!r}; the arms are {', '.join(names)}")
        try:
            compile_rule(rule.when)
        except InvalidRuleError as error:
            raise InvalidPlanError(f"rule {number}: {error}") from error


def _all_primary(plan: Plan) -> tuple[SlotRun, ...]:
    return layout((), {plan.primary.name: WHOLE})
