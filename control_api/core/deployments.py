"""The catalogue's routes as deployments."""

from __future__ import annotations

from control_api.core.outcomes import outcome_of, reports_on, serving_version, status_of, workers_of
from control_api.core.snapshot import Snapshot
from control_api.schemas.deployments import Deployment, Placed, Serving
from control_api.schemas.shape import rfc3339
from model_store.core.control_records import ModelState
from model_store.core.routes import Route
from model_store.core.versions import ModelVersion

_TROUBLE = (ModelState.REFUSED, ModelState.RETRYING)


def deployment(snapshot: Snapshot, route: Route) -> Deployment:
    """One route: what serves it, what did before, and where."""
    serving = serving_version(snapshot, route)
    newest = route.history[0] if route.history else None
    before = [v for v in route.history if serving is not None and v.control_offset < serving.control_offset]
    return Deployment(
        key=route.key,
        serving=_placed(snapshot, serving) if serving is not None else None,
        newest=_placed(snapshot, newest) if newest is not None else None,
        stack=[_placed(snapshot, version) for version in before],
        workers=_workers(snapshot, route),
        errors=[
            outcome_of(snapshot, worker.worker, reported)
            for worker, reported in (reports_on(snapshot, newest) if newest is not None else ())
            if reported.report.state in _TROUBLE
        ],
    )


def _workers(snapshot: Snapshot, route: Route) -> list[Serving]:
    return [
        Serving(
            worker=worker.worker,
            is_live=worker.worker in snapshot.membership.live,
            model=reported.report.model,
            version=str(reported.report.model_version),
            control_offset=reported.report.control_offset,
            outcome=outcome_of(snapshot, worker.worker, reported),
        )
        for worker in workers_of(snapshot)
        if (reported := worker.loaded.get(route.key)) is not None
    ]


def _placed(snapshot: Snapshot, version: ModelVersion) -> Placed:
    status, message = status_of(snapshot, version)
    return Placed(
        model=version.model,
        version=str(version.version),
        type=version.descriptor.model_type,
        description=version.descriptor.description,
        control_offset=version.control_offset,
        since=rfc3339(max(0, version.published_at_ms)),
        status=status,
        status_message=message if status == "FAILED_REGISTRATION" else "",
    )
