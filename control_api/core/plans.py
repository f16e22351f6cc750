"""Plans of routes: from what a client sent to the value, and from the value to what is answered."""

from __future__ import annotations

from typing import Final

import numpy as np
from immutables import Map

from control_api.core.targets import find_target
from control_api.schemas.plans import (
    GivenPlan,
    GivenVersion,
    NamedVersion,
    PlannedArm,
    PlanShape,
    RuleShape,
    SpeculationShape,
)
from model_store.core.catalogue import Catalogue
from model_store.core.errors import InvalidPlanError
from model_store.core.plans import PRIMARY, WHOLE, Arm, Plan, Rule, Speculation, Target
from model_store.core.slots import SLOTS, arm_indexes

_POINTS: Final = 100
"""Basis points of a percent."""


def plan_given(catalogue: Catalogue, given: GivenPlan) -> Plan:
    """The plan that a client asks for, its aliases looked up as they are now.

    Raises:
        InvalidPlanError: A weight is missing, or finer than two decimals.
        UnknownTargetError: It names a model, an alias or a version that is not there.
    """
    arms = tuple(
        Arm(
            arm.name or (PRIMARY if number == 1 else f"arm-{number}"),
            _target(catalogue, arm),
            _basis_points(arm.weight, is_alone=len(given.arms) == 1),
        )
        for number, arm in enumerate(given.arms, 1)
    )
    speculation = given.speculation
    return Plan(
        arms,
        given.salt,
        pins=Map(given.pins),
        rules=tuple(Rule(rule.when, rule.arm) for rule in given.rules),
        dark=tuple(_target(catalogue, each) for each in given.dark),
        fallback=_target(catalogue, given.fallback) if given.fallback is not None else None,
        speculation=Speculation(speculation.decider, speculation.timeout_ms) if speculation is not None else None,
    )


def plan_shape(plan: Plan) -> PlanShape:
    """A plan as it is answered."""
    return PlanShape(
        arms=[
            PlannedArm(name=arm.name, weight=arm.weight / _POINTS, **_named(arm.target).model_dump())
            for arm in plan.arms
        ],
        salt=plan.salt,
        pins=dict(sorted(plan.pins.items())),
        rules=[RuleShape(when=rule.when, arm=rule.arm) for rule in plan.rules],
        dark=[_named(target) for target in plan.dark],
        fallback=_named(plan.fallback) if plan.fallback is not None else None,
        speculation=SpeculationShape(decider=plan.speculation.decider, timeout_ms=plan.speculation.timeout_ms)
        if plan.speculation is not None
        else None,
        digest=plan.digest,
    )


def moved_percent(before: Plan | None, after: Plan | None) -> float:
    """Share of the entities that another version scores, by their slots alone: pins and rules are not looked at."""
    was, now = _versions_by_slot(before), _versions_by_slot(after)
    return round(100 * float((was != now).sum()) / SLOTS, 2)


def _versions_by_slot(plan: Plan | None) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    if plan is None:
        return np.full(SLOTS, "", object)
    names = np.array([str(arm.target) for arm in plan.arms], object)
    if not plan.slots:
        return np.full(SLOTS, names[0], object)
    found: np.ndarray[tuple[int], np.dtype[np.object_]] = names[
        arm_indexes(plan.slots, [arm.name for arm in plan.arms])[:SLOTS]
    ]
    return found


def _target(catalogue: Catalogue, given: GivenVersion) -> Target:
    number = int(given.version) if given.version is not None else None
    return find_target(catalogue, given.model, number, given.alias)


def _basis_points(weight: float | None, *, is_alone: bool) -> int:
    if weight is None:
        if not is_alone:
            raise InvalidPlanError("where there are several arms, each needs its `weight` in percent")
        return WHOLE
    points = round(weight * _POINTS)
    if abs(points - weight * _POINTS) > 1e-6:
        raise InvalidPlanError(f"a weight is percent with two decimals, not {weight}")
    return points


def _named(target: Target) -> NamedVersion:
    return NamedVersion(model=target.model, version=str(target.version), alias=target.alias or None)
