"""The fold of announcements and registrations: models, versions, aliases, notes, and what a version needs to serve."""

from __future__ import annotations

from collections.abc import Iterator

from immutables import Map

from model_store.core.commands import (
    Approve,
    Command,
    RegisterModel,
    RegisterVersion,
    SetAlias,
    SetPolicy,
    SetStage,
    UpdateVersion,
)
from model_store.core.descriptor import Descriptor
from model_store.core.errors import CommandRefusedError
from model_store.core.plans import Target
from model_store.core.replacing import replace
from model_store.core.state import Catalogue, LogEntry
from model_store.core.versions import (
    Approval,
    ModelVersion,
    Policy,
    RegisteredModel,
    Stage,
    VersionNotes,
)


def add_version(
    catalogue: Catalogue, entry: LogEntry, descriptor: Descriptor, references: Map[str, str] | None = None
) -> tuple[Catalogue, ModelVersion]:
    """The catalogue with one version more, numbered after the highest of its model."""
    model = catalogue.models.get(descriptor.name) or RegisteredModel(descriptor.name, entry.timestamp_ms)
    version = ModelVersion(model.latest + 1, entry.offset, entry.timestamp_ms, descriptor, references or Map())
    after = replace(
        catalogue,
        models=catalogue.models.set(model.name, model.adding(version)),
        versions=catalogue.versions.set(entry.offset, version),
    )
    return after, version


def register_version(catalogue: Catalogue, entry: LogEntry, body: RegisterVersion) -> tuple[Catalogue, ModelVersion]:
    """A version without a route.

    Raises:
        CommandRefusedError: Its model was deleted.
    """
    model = catalogue.models.get(body.descriptor.name)
    if model is not None:
        check_not_deleted(model)
    return add_version(catalogue, entry, body.descriptor, body.references)


def register_model(catalogue: Catalogue, entry: LogEntry, body: RegisterModel) -> Catalogue:
    """Make a model, or say something else about one.

    Raises:
        CommandRefusedError: It was deleted.
    """
    model = catalogue.models.get(body.model) or RegisteredModel(body.model, entry.timestamp_ms)
    check_not_deleted(model)
    model = replace(
        model,
        description=model.description if body.description is None else body.description,
        owner=model.owner if body.owner is None else body.owner,
        use_case=model.use_case if body.use_case is None else body.use_case,
        tags=_tagged(model.tags, body.tags),
    )
    return _with_model(catalogue, entry, model)


def set_policy(catalogue: Catalogue, entry: LogEntry, body: SetPolicy) -> Catalogue:
    """What versions of a model need before they may serve."""
    for name, share in (
        ("backtest_disagreement", body.backtest_disagreement),
        ("backtest_errors", body.backtest_errors),
    ):
        if share is not None and not 0 <= share <= 1:
            raise CommandRefusedError("invalid", f"{name} is a share from 0 to 1, not {share!r}")
    if body.backtest_records is not None and body.backtest_records < 1:
        raise CommandRefusedError("invalid", f"backtest_records is a number from 1 on, not {body.backtest_records}")
    policy = Policy(
        max(0, body.approvals), body.needs_backtest, max(0, body.retire_after_s), body.backtest_records,
        body.backtest_disagreement, body.backtest_errors,
    )  # fmt: skip
    return _with_model(catalogue, entry, replace(_model(catalogue, body.model), policy=policy))


def update_version(catalogue: Catalogue, entry: LogEntry, body: UpdateVersion) -> Catalogue:
    """Say something else about a version."""
    version = find_version(catalogue, body.model, body.version)
    notes = catalogue.notes_of(version)
    description = notes.description if body.description is None else body.description
    return _with_notes(
        catalogue, entry, version, replace(notes, description=description, tags=_tagged(notes.tags, body.tags))
    )


def set_alias(catalogue: Catalogue, entry: LogEntry, body: SetAlias) -> Catalogue:
    """Let an alias name a version, or nothing. Routes that follow it are moved by a change of their own."""
    model = _model(catalogue, body.model)
    if body.version:
        version = find_version(catalogue, body.model, body.version)
        check_active(catalogue, version)
        return _with_model(catalogue, entry, replace(model, aliases=model.aliases.set(body.alias, body.version)))
    if body.alias not in model.aliases:
        raise CommandRefusedError("not-found", f"model {body.model} has no alias {body.alias!r}")
    for key, target in _targets_in_use(catalogue):
        if (target.model, target.alias) == (body.model, body.alias):
            raise CommandRefusedError("conflict", f"route {key!r} follows the alias {body.model}@{body.alias}")
    return _with_model(catalogue, entry, replace(model, aliases=model.aliases.delete(body.alias)))


def set_stage(catalogue: Catalogue, entry: LogEntry, command: Command, body: SetStage) -> Catalogue:
    """Retire a version, bring it back, or delete it; or delete a whole model."""
    try:
        stage = Stage(body.stage)
    except ValueError:
        raise CommandRefusedError("invalid", f"stage {body.stage!r} is none of active, retired, deleted") from None
    model = _model(catalogue, body.model)
    if body.version:
        return _staged(catalogue, entry, find_version(catalogue, body.model, body.version), stage, command, body)
    if stage is not Stage.DELETED:
        raise CommandRefusedError("invalid", "name the version: only deleting is for a whole model")
    for version in model.versions.values():
        if catalogue.notes_of(version).stage is not Stage.DELETED:
            catalogue = _staged(catalogue, entry, version, stage, command, body)
    return _with_model(catalogue, entry, replace(catalogue.models[model.name], aliases=Map(), is_deleted=True))


def approve(catalogue: Catalogue, entry: LogEntry, command: Command, body: Approve) -> Catalogue:
    """Somebody's word on a version; a later one of the same person replaces it."""
    version = find_version(catalogue, body.model, body.version)
    if not command.actor:
        raise CommandRefusedError("invalid", "an approval needs the name of whoever gives it")
    notes = catalogue.notes_of(version)
    approval = Approval(
        command.actor, body.is_approved, command.reason, body.plan_digest, entry.timestamp_ms, entry.offset
    )
    return _with_notes(
        catalogue, entry, version, replace(notes, approvals=notes.approvals.set(command.actor, approval))
    )


def passed_backtest(catalogue: Catalogue, entry: LogEntry, model: str, version: int, job: int) -> Catalogue:
    """Note that a version passed a back-test; nothing if there is no such version."""
    found = catalogue.version(Target(model, version))
    if found is None:
        return catalogue
    return _with_notes(catalogue, entry, found, replace(catalogue.notes_of(found), backtest=job))


def check_not_deleted(model: RegisteredModel) -> None:
    """Pass a model that is there.

    Raises:
        CommandRefusedError: It was deleted: its name stays taken.
    """
    if model.is_deleted:
        raise CommandRefusedError("conflict", f"model {model.name} was deleted; take another name")


def find_version(catalogue: Catalogue, model: str, version: int) -> ModelVersion:
    """The version.

    Raises:
        CommandRefusedError: There is none, or it was deleted.
    """
    found = catalogue.version(Target(model, version))
    if found is None or catalogue.notes_of(found).stage is Stage.DELETED:
        raise CommandRefusedError("not-found", f"there is no version {version} of model {model}")
    return found


def check_active(catalogue: Catalogue, version: ModelVersion) -> None:
    """Pass a version that may be routed to.

    Raises:
        CommandRefusedError: It is retired or deleted.
    """
    notes = catalogue.notes_of(version)
    if notes.stage is not Stage.ACTIVE:
        why = f" ({notes.stage_reason})" if notes.stage_reason else ""
        raise CommandRefusedError("conflict", f"{version.model} v{version.version} is {notes.stage.value}{why}")


def check_policy(catalogue: Catalogue, version: ModelVersion, plan_digest: str = "") -> None:
    """Pass a version that has what its model's policy asks for.

    Args:
        plan_digest: Of the plan that it is to serve in: approvals given to another one do not count. Empty: not known.

    Raises:
        CommandRefusedError: Something is missing; the message says what.
    """
    policy, notes = catalogue.models[version.model].policy, catalogue.notes_of(version)
    name = f"{version.model} v{version.version}"
    words = notes.words_on(plan_digest)
    refusals = [word for word in words if not word.is_approved]
    if policy.approvals and refusals:
        raise CommandRefusedError("policy", f"{name} was refused by {refusals[0].actor}: {refusals[0].reason}")
    if len(words) < policy.approvals:
        by = f" (by {', '.join(word.actor for word in words)})" if words else ""
        if others := len(notes.approvals) - len(words):
            by += f"; {others} more {'is' if others == 1 else 'are'} on another plan"
        raise CommandRefusedError(
            "policy",
            f"{name} needs {policy.approvals} approvals before it may serve, it has {len(words)}{by}",
        )
    if policy.needs_backtest and notes.backtest < 0:
        raise CommandRefusedError("policy", f"{name} needs a back-test that it passed before it may serve")


def _staged(
    catalogue: Catalogue, entry: LogEntry, version: ModelVersion, stage: Stage, command: Command, body: SetStage
) -> Catalogue:
    if stage is not Stage.ACTIVE:
        _check_unused(catalogue, version, body)
    notes = replace(catalogue.notes_of(version), stage=stage, stage_reason=command.reason)
    return _with_notes(catalogue, entry, version, notes)


def _check_unused(catalogue: Catalogue, version: ModelVersion, body: SetStage) -> None:
    name = f"{version.model} v{version.version}"
    for key, target in _targets_in_use(catalogue):
        if (target.model, target.version) == (version.model, version.version):
            raise CommandRefusedError("conflict", f"route {key!r} has {name} in its plan")
    aliases = [alias for alias, number in catalogue.models[version.model].aliases.items() if number == version.version]
    if aliases and body.version:
        raise CommandRefusedError("conflict", f"the alias {version.model}@{sorted(aliases)[0]} names {name}")
    if body.unrouted_since_ms and last_routed_ms(catalogue, version) > body.unrouted_since_ms:
        raise CommandRefusedError("conflict", f"{name} was routed to again meanwhile")


def last_routed_ms(catalogue: Catalogue, version: ModelVersion) -> int:
    """When a route last had the version in its plan, or when it was published, milliseconds since 1970 UTC.

    A version that is in a plan now is as if it were routed to at the end of time.
    """
    last = version.published_at_ms
    for route in catalogue.routes.values():
        until = 2**62
        for routed in route.newest_first():
            if routed.offset < version.control_offset:
                break  # no plan names a version before it is made, and a route may have thousands of entries
            plan = routed.plan
            if plan is not None and any(
                (t.model, t.version) == (version.model, version.version) for t in plan.targets()
            ):
                last = max(last, until)
                break
            until = routed.at_ms
    return last


def _targets_in_use(catalogue: Catalogue) -> Iterator[tuple[str, Target]]:
    for key, route in catalogue.routes.items():
        for plan in catalogue.plans_in_use(route):
            for target in plan.targets():
                yield key, target
        rollout = catalogue.open_rollout(route)
        if rollout is not None:
            yield key, rollout.candidate


def _model(catalogue: Catalogue, name: str) -> RegisteredModel:
    model = catalogue.models.get(name)
    if model is None or model.is_deleted:
        raise CommandRefusedError("not-found", f"there is no model {name!r}")
    return model


def _with_model(catalogue: Catalogue, entry: LogEntry, model: RegisteredModel) -> Catalogue:
    model = replace(model, revision=entry.offset, updated_at_ms=entry.timestamp_ms)
    return replace(catalogue, models=catalogue.models.set(model.name, model))


def _with_notes(catalogue: Catalogue, entry: LogEntry, version: ModelVersion, notes: VersionNotes) -> Catalogue:
    notes = replace(notes, revision=entry.offset, updated_at_ms=entry.timestamp_ms)
    return replace(catalogue, notes=catalogue.notes.set(version.control_offset, notes))


def _tagged(tags: Map[str, str], said: Map[str, str]) -> Map[str, str]:
    for name, value in said.items():
        if value:
            tags = tags.set(name, value)
        elif name in tags:
            tags = tags.delete(name)
    return tags
