"""A rollout: how a route moves to a candidate, step by step, and what plan each step means.

    running --steps--> running (last step) --complete--> succeeded
       |  `--pause--> paused --resume--> running
       `--abort, rollback--> reverting --the change back is committed--> aborted | rolled back

Each step is a change of the route like any other, exact to the offset. The fold keeps where the rollout is; a control
API replica, any one, decides when it goes on (`steered` says how) and writes that down as a command.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from model_store.core.commands import Step
from model_store.core.guards import Guard
from model_store.core.plans import WHOLE, Arm, Plan, Target, scaled
from model_store.core.replacing import replace

CANARY: Final = "canary"
BACK: Final = -1
"""The step that leads back to where the rollout began."""

EVIDENCE_KEPT: Final = 50


class RolloutState(Enum):
    """Where a rollout is."""

    RUNNING = "running"
    PAUSED = "paused"
    REVERTING = "reverting"
    SUCCEEDED = "succeeded"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"

    @property
    def is_open(self) -> bool:
        """It may still change the route."""
        return self in (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.REVERTING)


@dataclass(frozen=True, slots=True)
class Steered:
    """Something that was decided about a rollout.

    Attributes:
        at_ms: When, milliseconds since 1970 UTC.
        offset: Where it is on the control log.
        actor: Who.
        action: What: an action of `SteerRollout`, `started`, `step`, `step aborted`, `superseded`.
        reason: Why.
        evidence: JSON, or empty.
    """

    at_ms: int
    offset: int
    actor: str
    action: str
    reason: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """See the module.

    Attributes:
        id: Control offset of the command that started it.
        key: Of the route.
        candidate: What is rolled out.
        steps: At least one; the last has all of the traffic.
        guards: Looked at while a step bakes.
        deadline_ms: For each of its changes.
        base: The plan that it started from and goes back to.
        step: The step that was committed last; -1 before the first.
        since_ms: When that was, milliseconds since 1970 UTC.
        state: Where it is.
        goal: `aborted` or `rolled_back` while it is `reverting`; otherwise what it is.
        is_promoted: It is to go to the last step without waiting.
        reason: Of the last thing that happened.
        story: What was decided, oldest first; the newest `EVIDENCE_KEPT`.
    """

    id: int
    key: str
    candidate: Target
    steps: tuple[Step, ...]
    guards: tuple[Guard, ...]
    deadline_ms: int
    base: Plan
    step: int = BACK
    since_ms: int = 0
    state: RolloutState = RolloutState.RUNNING
    goal: RolloutState = RolloutState.RUNNING
    is_promoted: bool = False
    reason: str = ""
    story: tuple[Steered, ...] = ()

    @property
    def last(self) -> int:
        """Number of the last step."""
        return len(self.steps) - 1

    def plan_of(self, step: int) -> Plan:
        """The plan of a step; `BACK` is the plan that it started from."""
        return self.base if step == BACK else step_plan(self.base, self.candidate, self.steps[step].weight)

    def told(self, steered: Steered) -> Rollout:
        """With one decision more in its story."""
        return replace(self, story=(*self.story, steered)[-EVIDENCE_KEPT:], reason=steered.reason)


def step_plan(base: Plan, candidate: Target, weight: int) -> Plan:
    """What a step serves: the candidate dark, beside the arms of the base in their proportions, or instead of them.

    The slots are those of the base; the fold moves them when the plan is given to the route.
    """
    if weight == 0:
        dark = base.dark if candidate in base.dark else (*base.dark, candidate)
        return replace(base, dark=dark)
    others = tuple(target for target in base.dark if target != candidate)
    if weight == WHOLE:
        arms: tuple[Arm, ...] = (Arm(base.primary.name, candidate, WHOLE),)
        names = {base.primary.name}
        rules = tuple(rule for rule in base.rules if rule.arm in names)
        pins = base.pins
        for entity, arm in base.pins.items():
            if arm not in names:
                pins = pins.delete(entity)
        return replace(base, arms=arms, dark=others, rules=rules, pins=pins)
    kept = scaled({arm.name: arm.weight for arm in base.arms}, WHOLE - weight)
    arms = tuple(replace(arm, weight=kept[arm.name]) for arm in base.arms)
    return replace(base, arms=(*arms, Arm(_free_name(base), candidate, weight)), dark=others)


def _free_name(base: Plan) -> str:
    taken = {arm.name for arm in base.arms}
    name, number = CANARY, 2
    while name in taken:
        name, number = f"{CANARY}-{number}", number + 1
    return name
