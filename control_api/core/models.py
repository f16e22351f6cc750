"""The catalogue as registered models and versions."""

from __future__ import annotations

from control_api.core.operations import operation_id
from control_api.core.outcomes import outcome_of, reports_on, signature_shape, status_of, workers_of
from control_api.core.serving import InPlans
from control_api.core.snapshot import Snapshot
from control_api.schemas.models import Alias, Approval, Approvals, Binding, ModelVersion, Policy, RegisteredModel
from control_api.schemas.shape import rfc3339
from model_store.core import versions
from model_store.core.catalogue import Catalogue
from model_store.core.versions import Stage, VersionNotes


def kept_versions(catalogue: Catalogue, model: versions.RegisteredModel) -> list[versions.ModelVersion]:
    """The versions of a model that were not deleted, newest first."""
    found = (version for _, version in sorted(model.versions.items(), reverse=True))
    return [version for version in found if catalogue.notes_of(version).stage is not Stage.DELETED]


def version_revision(catalogue: Catalogue, version: versions.ModelVersion) -> int:
    """Control offset of the last change of a version, or of what is said about it."""
    return max(version.control_offset, catalogue.notes_of(version).revision)


def registered_model(snapshot: Snapshot, model: versions.RegisteredModel, plans: InPlans) -> RegisteredModel:
    """One model and its newest version."""
    kept = kept_versions(snapshot.catalogue, model)
    newest = kept[0] if kept else None
    return RegisteredModel(
        name=model.name,
        description=description_of(snapshot.catalogue, model),
        use_case=use_case_of(snapshot.catalogue, model),
        type=newest.descriptor.model_type if newest is not None else "",
        data_types=sorted({version.data_type for version in kept}),
        serving=plans.by_model.get(model.name, []),
        version_count=len(kept),
        latest_version=str(newest.version) if newest is not None else None,
        latest_status=status_of(snapshot, newest)[0] if newest is not None else None,
        creation_timestamp=max(0, model.created_at_ms),
        last_updated_timestamp=max(0, model.updated_at_ms),
        owner=model.owner,
        tags=dict(sorted(model.tags.items())),
        aliases={alias: str(number) for alias, number in sorted(model.aliases.items())},
        policy=Policy(
            approvals=model.policy.approvals,
            needs_backtest=model.policy.needs_backtest,
            retire_after_seconds=model.policy.retire_after_s,
            backtest_records=model.policy.backtest_records,
            backtest_disagreement=model.policy.backtest_disagreement,
            backtest_errors=model.policy.backtest_errors,
        ),
        revision=model.revision,
    )


def description_of(catalogue: Catalogue, model: versions.RegisteredModel) -> str:
    """What people say of a model; else what its newest version says."""
    kept = kept_versions(catalogue, model) if model.description is None else []
    return model.description or (kept[0].descriptor.description if kept else "")


def use_case_of(catalogue: Catalogue, model: versions.RegisteredModel) -> str:
    """The use case of a model; else that of its newest version."""
    kept = kept_versions(catalogue, model) if model.use_case is None else []
    return model.use_case or (kept[0].descriptor.use_case if kept else "")


def alias_shape(model: versions.RegisteredModel, alias: str) -> Alias | None:
    """Where an alias points."""
    number = model.aliases.get(alias)
    return None if number is None else Alias(name=model.name, alias=alias, version=str(number), revision=model.revision)


def approvals_of(catalogue: Catalogue, version: versions.ModelVersion) -> Approvals:
    """Who said what about a version."""
    notes = catalogue.notes_of(version)
    return Approvals(
        name=version.model,
        version=str(version.version),
        approvals=_approvals(notes),
        approved_by=list(notes.approved_by),
        needed=catalogue.models[version.model].policy.approvals,
        revision=version_revision(catalogue, version),
    )


def model_version(snapshot: Snapshot, version: versions.ModelVersion, plans: InPlans) -> ModelVersion:
    """One version, with what became of it on each worker."""
    catalogue, descriptor = snapshot.catalogue, version.descriptor
    model, notes = catalogue.models[version.model], catalogue.notes_of(version)
    status, message = status_of(snapshot, version)
    reports = reports_on(snapshot, version)
    loaded = next((r.report for _, r in reversed(reports) if r.report.signature is not None), None)
    said = [version.published_at_ms, notes.updated_at_ms, *(r.report.at_ms or r.logged_at_ms for _, r in reports)]
    return ModelVersion(
        name=version.model,
        version=str(version.version),
        status=status,
        status_message=message,
        is_serving=plans.serves(version),
        data_type=version.data_type,
        type=descriptor.model_type,
        description=descriptor.description if notes.description is None else notes.description,
        use_case=descriptor.use_case,
        publisher=descriptor.publisher,
        creation_timestamp=max(0, version.published_at_ms),
        last_updated_timestamp=max(0, *said),
        since=rfc3339(max(0, version.published_at_ms)),
        control_offset=version.control_offset,
        request_id=descriptor.request_id,
        source=descriptor.location,
        sha256=descriptor.sha256.hex() if descriptor.sha256 is not None else None,
        artifact_bytes=descriptor.size_bytes or (loaded.artifact_bytes if loaded is not None else None) or None,
        engine=(loaded.engine or None) if loaded is not None else None,
        signature=signature_shape(loaded.signature if loaded is not None else None),
        signature_name=descriptor.signature_name,
        input_names=list(descriptor.input_names),
        output_names=list(descriptor.output_names),
        feature_mapping=[Binding(feature=b.feature, field=b.field) for b in descriptor.feature_mapping],
        stage=notes.stage.value,
        stage_reason=notes.stage_reason,
        tags=dict(sorted(notes.tags.items())),
        aliases=sorted(alias for alias, number in model.aliases.items() if number == version.version),
        owner=model.owner,
        references=dict(sorted(version.references.items())),
        approvals=_approvals(notes),
        backtest=operation_id(notes.backtest) if notes.backtest >= 0 else None,
        routes=plans.routes_of(version),
        revision=version_revision(catalogue, version),
        workers=[
            outcome_of(snapshot, worker.worker, reported)
            for worker in workers_of(snapshot)
            if (reported := worker.reports.get(version.control_offset)) is not None
            or worker.worker in snapshot.membership.live
        ],
    )


def _approvals(notes: VersionNotes) -> list[Approval]:
    newest_first = sorted(notes.approvals.values(), key=lambda approval: -approval.offset)
    return [
        Approval(
            actor=each.actor,
            approved=each.is_approved,
            reason=each.reason,
            plan_digest=each.plan_digest,
            at=rfc3339(max(0, each.at_ms)),
            control_offset=each.offset,
        )
        for each in newest_first
    ]
