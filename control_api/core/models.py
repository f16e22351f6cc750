"""The catalogue as registered models and versions."""

from __future__ import annotations

from control_api.core.outcomes import outcome_of, reports_on, serving_version, signature_shape, status_of, workers_of
from control_api.core.snapshot import Snapshot
from control_api.schemas.models import Binding, ModelVersion, RegisteredModel
from control_api.schemas.shape import rfc3339
from model_store.core import versions


def registered_model(snapshot: Snapshot, model: versions.RegisteredModel) -> RegisteredModel:
    """One model and its newest version."""
    newest = model.latest_version
    data_types = sorted({version.data_type for version in model.versions.values()})
    serving = [
        data_type
        for data_type in data_types
        if (route := snapshot.catalogue.routes.get(data_type)) is not None
        and (version := serving_version(snapshot, route)) is not None
        and version.model == model.name
    ]
    return RegisteredModel(
        name=model.name,
        description=newest.descriptor.description if newest is not None else "",
        use_case=newest.descriptor.use_case if newest is not None else "",
        type=newest.descriptor.model_type if newest is not None else "",
        data_types=data_types,
        serving=serving,
        version_count=len(model.versions),
        latest_version=str(model.latest) if newest is not None else None,
        latest_status=status_of(snapshot, newest)[0] if newest is not None else None,
        creation_timestamp=max(0, model.created_at_ms),
        last_updated_timestamp=max(0, model.updated_at_ms),
    )


def model_version(snapshot: Snapshot, version: versions.ModelVersion) -> ModelVersion:
    """One version, with what became of it on each worker."""
    descriptor = version.descriptor
    status, message = status_of(snapshot, version)
    reports = reports_on(snapshot, version)
    loaded = next((r.report for _, r in reversed(reports) if r.report.signature is not None), None)
    route = snapshot.catalogue.routes.get(version.data_type)
    serving = serving_version(snapshot, route) if route is not None else None
    updated = max([version.published_at_ms, *(r.report.at_ms or r.logged_at_ms for _, r in reports)])
    return ModelVersion(
        name=version.model,
        version=str(version.version),
        status=status,
        status_message=message,
        is_serving=serving is not None and serving.control_offset == version.control_offset,
        data_type=version.data_type,
        type=descriptor.model_type,
        description=descriptor.description,
        use_case=descriptor.use_case,
        publisher=descriptor.publisher,
        creation_timestamp=max(0, version.published_at_ms),
        last_updated_timestamp=max(0, updated),
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
        workers=[
            outcome_of(snapshot, worker.worker, reported)
            for worker in workers_of(snapshot)
            if (reported := worker.reports.get(version.control_offset)) is not None
            or worker.worker in snapshot.membership.live
        ],
    )
