"""Registered models and their versions: the rows of the registry.

What a version *is* never changes: its number, its descriptor with the artifact's digest, where it came from. What people
say about it does, and is kept apart (`VersionNotes`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from immutables import Map

from model_store.core.descriptor import Descriptor
from model_store.core.replacing import replace


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One announcement or registration that was accepted, and the number it got.

    Attributes:
        version: Counted from 1 by model name, never reused, the same for every reader of the log.
        control_offset: Where it is on the control log: its identity.
        published_at_ms: Timestamp of its record, milliseconds since 1970 UTC.
        descriptor: What was announced.
        references: Where it comes from, by kind: `training_data`, `code`, `run_id`, `environment` and whatever else.
    """

    version: int
    control_offset: int
    published_at_ms: int
    descriptor: Descriptor
    references: Map[str, str] = field(default_factory=Map)

    @property
    def model(self) -> str:
        """Registered model name."""
        return self.descriptor.name

    @property
    def data_type(self) -> str:
        """The data type that it was announced for."""
        return self.descriptor.data_type


class Stage(Enum):
    """Whether a version may be routed to."""

    ACTIVE = "active"
    RETIRED = "retired"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Approval:
    """Somebody's word on a version.

    Attributes:
        actor: Who.
        is_approved: Or refused.
        reason: Why.
        plan_digest: Of the plan that it was shown in (`Plan.digest`); empty: the version as such.
        at_ms: Timestamp of its record, milliseconds since 1970 UTC.
        offset: Where it is on the control log.
    """

    actor: str
    is_approved: bool
    reason: str
    plan_digest: str
    at_ms: int
    offset: int


@dataclass(frozen=True, slots=True)
class VersionNotes:
    """What people say about a version.

    Attributes:
        description: Replaces the descriptor's, if not `None`.
        tags: Free.
        stage: Whether it may be routed to.
        stage_reason: Why it is not active.
        approvals: The latest word of each person: actor -> approval.
        backtest: Job id of the last back-test that it passed; -1 if none.
        updated_at_ms: When anything of this last changed, milliseconds since 1970 UTC; 0 for never.
        revision: Control offset of the last change; -1 for never.
    """

    description: str | None = None
    tags: Map[str, str] = field(default_factory=Map)
    stage: Stage = Stage.ACTIVE
    stage_reason: str = ""
    approvals: Map[str, Approval] = field(default_factory=Map)
    backtest: int = -1
    updated_at_ms: int = 0
    revision: int = -1

    @property
    def approved_by(self) -> tuple[str, ...]:
        """Who approved it, by name; nobody while somebody's latest word is a refusal."""
        if any(not approval.is_approved for approval in self.approvals.values()):
            return ()
        return tuple(sorted(self.approvals))

    def words_on(self, plan_digest: str) -> tuple[Approval, ...]:
        """What counts for a plan: each person's word, if it is on the version as such or on that very plan."""
        return tuple(word for _, word in sorted(self.approvals.items()) if word.plan_digest in ("", plan_digest))


NO_NOTES = VersionNotes()


@dataclass(frozen=True, slots=True)
class Policy:
    """What a version needs before it may serve (dark, it may always run).

    Attributes:
        approvals: How many people must have approved it.
        needs_backtest: It must have passed a back-test, by the limits of this policy and not by those of whoever asked.
        backtest_records: So many records at least must both sides have scored in it; `None`: 1.
        backtest_disagreement: Share of them on which they may differ at most; `None`: any.
        backtest_errors: Share of the records that the version may have failed on at most; `None`: any.
        retire_after_s: Seconds after which a version that nothing has routed to is retired; 0: never.
    """

    approvals: int = 0
    needs_backtest: bool = False
    retire_after_s: int = 0
    backtest_records: int | None = None
    backtest_disagreement: float | None = None
    backtest_errors: float | None = None


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """All versions of one name, and what people say about it.

    Attributes:
        name: The name.
        created_at_ms: When it was first heard of, milliseconds since 1970 UTC.
        latest: The highest version number that was ever given; 0 before the first.
        versions: Number -> version, those that were deleted included.
        description: `None`: that of its newest version.
        tags: Free.
        owner: A person or a team.
        use_case: The business use case; `None`: that of its newest version.
        aliases: Alias -> version number.
        policy: What a version needs before it may serve.
        revision: Control offset of the last record that changed it: a version, an alias, a tag, the policy.
        updated_at_ms: When, milliseconds since 1970 UTC.
        is_deleted: It is shown no more; its name and numbers stay taken.
    """

    name: str
    created_at_ms: int
    latest: int = 0
    versions: Map[int, ModelVersion] = field(default_factory=Map)
    description: str | None = None
    tags: Map[str, str] = field(default_factory=Map)
    owner: str = ""
    use_case: str | None = None
    aliases: Map[str, int] = field(default_factory=Map)
    policy: Policy = Policy()
    revision: int = -1
    updated_at_ms: int = 0
    is_deleted: bool = False

    @property
    def latest_version(self) -> ModelVersion | None:
        """The newest version; `None` before the first."""
        return self.versions[self.latest] if self.latest else None

    def adding(self, version: ModelVersion) -> RegisteredModel:
        """The same model with one version more."""
        return replace(
            self,
            latest=version.version,
            versions=self.versions.set(version.version, version),
            revision=version.control_offset,
            updated_at_ms=version.published_at_ms,
        )


@dataclass(frozen=True, slots=True)
class Rejected:
    """An announcement that was none: it changed no route and took no version.

    Attributes:
        control_offset: Where it is on the control log.
        at_ms: Timestamp of its record, milliseconds since 1970 UTC.
        reason: A sentence that the publisher can act on.
        name: Model name, where it could be read.
        data_type: Data type, where it could be read.
        request_id: Request id, where it could be read.
    """

    control_offset: int
    at_ms: int
    reason: str
    name: str = ""
    data_type: str = ""
    request_id: str = ""
