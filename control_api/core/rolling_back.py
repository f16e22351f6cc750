"""Where a route goes when it is rolled back.

The plans that a route was given are a stack: a new one goes on top, a return to the one below takes the top away, and the
steps of one rollout are one. So `previous` twice goes two plans back, and not to and fro.
"""

from __future__ import annotations

from dataclasses import replace

from model_store.core.catalogue import Catalogue
from model_store.core.plans import PRIMARY, WHOLE, Arm, Plan, Target
from model_store.core.routes import Route


def previous_plan(catalogue: Catalogue, route: Route) -> Plan | None:
    """The plan below the one that serves; the last one where nothing serves; `None` if there is none."""
    stack = _stack(route)
    if route.plan is not None and stack:
        stack.pop()
    return _fixed(catalogue, stack[-1]) if stack else None


def plan_with(catalogue: Catalogue, route: Route, target: Target) -> Plan:
    """The newest plan whose primary was this version, or else one in which it has all records, dark and fallback as they are."""
    wanted = (target.model, target.version)
    for entry in route.newest_first():
        if entry.plan is not None and (entry.plan.primary.target.model, entry.plan.primary.target.version) == wanted:
            return _fixed(catalogue, entry.plan)
    current = route.plan
    if current is None:
        return Plan((Arm(PRIMARY, target),))
    arm = Arm(current.primary.name, target, WHOLE)
    return replace(current, arms=(arm,), slots=(), pins=type(current.pins)(), rules=(), speculation=None)


def _stack(route: Route) -> list[Plan]:
    plans: list[tuple[Plan, int | None]] = []
    for number in range(len(route.entries)):
        entry = route.entries[number]
        if entry.plan is None:
            continue
        if len(plans) > 1 and plans[-2][0].digest == entry.plan.digest:
            plans.pop()
        elif plans and (plans[-1][0].digest == entry.plan.digest or _is_same_rollout(plans[-1][1], entry.rollout)):
            plans[-1] = (entry.plan, entry.rollout)
        else:
            plans.append((entry.plan, entry.rollout))
    return [plan for plan, _ in plans]


def _is_same_rollout(one: int | None, other: int | None) -> bool:
    return one is not None and one == other


def _fixed(catalogue: Catalogue, plan: Plan) -> Plan:
    """The plan without aliases that name another version by now: the route would follow them forward again."""

    def fixed(target: Target) -> Target:
        model = catalogue.models.get(target.model)
        is_moved = model is None or model.aliases.get(target.alias) != target.version
        return replace(target, alias="") if target.alias and is_moved else target

    return replace(
        plan,
        arms=tuple(replace(arm, target=fixed(arm.target)) for arm in plan.arms),
        dark=tuple(fixed(target) for target in plan.dark),
        fallback=fixed(plan.fallback) if plan.fallback is not None else None,
    )
