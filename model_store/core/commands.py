"""What people and control API replicas ask for on the log; the fold accepts each or refuses it, everywhere alike.

A command carries the revision that it was decided on. If the thing that it changes has another one by then, the command
is refused as stale: of two writers who saw the same state, one wins, without a lock. A command whose id was seen before
is a retry and is answered with the outcome of the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from immutables import Map

from model_store.core.descriptor import Descriptor
from model_store.core.guards import Guard
from model_store.core.lanes import Lane
from model_store.core.plans import Plan, Target

COMMAND: Final = "command"
"""`sluice-type` of a command."""

ABSENT: Final = -1
"""As `expected_revision`: the thing must not exist yet."""

EXACT: Final = "exact"
IMMEDIATE: Final = "immediate"

Mode = Literal["exact", "immediate"]

DEFAULT_DEADLINE_MS: Final = 120_000
"""A change that no one could finish by then is given up: time for a large model to load, not for a person to wait."""


@dataclass(frozen=True, slots=True)
class RegisterModel:
    """Make a model, or say something else about one: `None` leaves a member as it is.

    Attributes:
        tags: Replaces the tags it names; an empty text removes one.
    """

    model: str
    description: str | None = None
    owner: str | None = None
    use_case: str | None = None
    tags: Map[str, str] = field(default_factory=Map)


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """What versions of a model need before they may serve. See `versions.Policy`."""

    model: str
    approvals: int = 0
    needs_backtest: bool = False
    retire_after_s: int = 0
    backtest_records: int | None = None
    backtest_disagreement: float | None = None
    backtest_errors: float | None = None


@dataclass(frozen=True, slots=True)
class RegisterVersion:
    """A new version of a model, and if `mode` says so its data type is turned to it in the same breath.

    Attributes:
        descriptor: Of the version; its bytes travel beside it.
        references: See `ModelVersion.references`.
        mode: Empty: it is only registered.
        deadline_ms: See `ChangeRoute`.
    """

    descriptor: Descriptor
    references: Map[str, str] = field(default_factory=Map)
    mode: str = ""
    deadline_ms: int = DEFAULT_DEADLINE_MS


@dataclass(frozen=True, slots=True)
class UpdateVersion:
    """Say something else about a version; `None` leaves a member, an empty tag is removed."""

    model: str
    version: int
    description: str | None = None
    tags: Map[str, str] = field(default_factory=Map)


@dataclass(frozen=True, slots=True)
class SetAlias:
    """Let an alias name a version; version 0 takes the alias away."""

    model: str
    alias: str
    version: int


@dataclass(frozen=True, slots=True)
class SetStage:
    """Retire a version, bring it back, or delete it.

    Attributes:
        stage: `active`, `retired` or `deleted`.
        version: 0 with `deleted`: the model and all its versions.
        unrouted_since_ms: Only if nothing has routed to it since then; 0: whatever.
    """

    model: str
    version: int
    stage: str
    unrouted_since_ms: int = 0


@dataclass(frozen=True, slots=True)
class Approve:
    """Somebody's word on a version. See `versions.Approval`."""

    model: str
    version: int
    is_approved: bool
    plan_digest: str = ""


@dataclass(frozen=True, slots=True)
class ChangeRoute:
    """Give a route another plan.

    Attributes:
        key: Of the route.
        plan: `None` takes the route away.
        mode: `exact` by the cut-over protocol, or `immediate`.
        deadline_ms: How long an exact change may take, in milliseconds from its record on.
        rollout: The rollout that it is a step of.
        step: Which step; -1 is the way back.
    """

    key: str
    plan: Plan | None
    mode: str = EXACT
    deadline_ms: int = DEFAULT_DEADLINE_MS
    rollout: int | None = None
    step: int = -1


@dataclass(frozen=True, slots=True)
class ProposeChange:
    """Every worker is ready: let the owners of these lanes promise their cuts. Written by control API replicas."""

    change: int
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True)
class AbortChange:
    """Give a change up; the command's reason says why."""

    change: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rollout.

    Attributes:
        weight: Share of the entities that the candidate scores, in basis points; 0 is dark.
        bake_seconds: How long it stays there at least, with its guards content.
    """

    weight: int
    bake_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class StartRollout:
    """Move a route to a candidate step by step."""

    key: str
    candidate: Target
    steps: tuple[Step, ...]
    guards: tuple[Guard, ...] = ()
    deadline_ms: int = DEFAULT_DEADLINE_MS


@dataclass(frozen=True, slots=True)
class SteerRollout:
    """Say how a rollout goes on.

    Attributes:
        action: `pause`, `resume`, `promote` (to the last step now), `abort` (back, because somebody wants it), `rollback`
            (back, because a guard failed) or `complete` (the last step has baked).
        evidence: What it was decided on, as JSON.
    """

    rollout: int
    action: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class RequestJob:
    """Have records scored again, by a worker, beside the stream.

    Attributes:
        kind: `backtest` or `correction`.
        spec: The job as JSON (`jobs`).
        model: Of the version that it is about: a back-test's candidate, a correction's good one.
        version: That version.
    """

    kind: str
    spec: str
    model: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class ClaimJob:
    """A worker takes a job."""

    job: int
    worker: str
    epoch: str


@dataclass(frozen=True, slots=True)
class ReportJob:
    """How far a job is, or how it ended.

    Attributes:
        state: `running`, `succeeded`, `failed`, `cancelled`, or `queued` (its worker is gone: somebody else may take it).
        epoch: The start of the worker that reports; empty: a control API replica.
        verdict: `passed` or `failed` for a back-test that was asked for a verdict.
        report: JSON.
    """

    job: int
    state: str
    worker: str = ""
    epoch: str = ""
    verdict: str = ""
    report: str = ""


CommandBody = (
    RegisterModel
    | SetPolicy
    | RegisterVersion
    | UpdateVersion
    | SetAlias
    | SetStage
    | Approve
    | ChangeRoute
    | ProposeChange
    | AbortChange
    | StartRollout
    | SteerRollout
    | RequestJob
    | ClaimJob
    | ReportJob
)


@dataclass(frozen=True, slots=True)
class Command:
    """See the module.

    Attributes:
        id: Identifies one act, so that a retry is recognised; at most 64 characters; empty: never a retry.
        actor: Who asks, as they say.
        reason: Why, for people.
        expected_revision: Of the thing that it changes; `None`: whatever it is; `ABSENT`: it must not exist.
        body: What is asked for.
        payload: Bytes of a version's artifact. The fold ignores them.
    """

    id: str
    actor: str
    reason: str
    body: CommandBody
    expected_revision: int | None = None
    payload: bytes | None = None


Problem = Literal["", "stale", "conflict", "invalid", "not-found", "policy"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the fold made of a command.

    Attributes:
        offset: Where the command is on the log.
        problem: Empty if it was accepted; `stale`: the revision moved on; `conflict`: it may not be done now; `invalid`: never;
            `not-found`: what it names is not there; `policy`: the version is not allowed to serve yet.
        reason: A sentence for whoever asked; empty if it was accepted.
        version: The version that it made, by its control offset; -1 if none.
    """

    offset: int
    problem: Problem = ""
    reason: str = ""
    version: int = -1

    @property
    def is_accepted(self) -> bool:
        """The fold did it."""
        return self.problem == ""
