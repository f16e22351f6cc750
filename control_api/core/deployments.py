"""The catalogue's routes as deployments."""

from __future__ import annotations

from itertools import islice

from control_api.core.operations import operation_view
from control_api.core.outcomes import outcome_of, reports_on, serving_version, status_of, workers_of
from control_api.core.plans import plan_shape
from control_api.core.snapshot import Snapshot
from control_api.schemas.deployments import Changed, Deployment, Entry, Placed, Serving
from control_api.schemas.rollouts import Rollout
from control_api.schemas.shape import rfc3339
from model_store.core.control_records import ModelState
from model_store.core.routes import Route, RouteEntry, matches
from model_store.core.versions import ModelVersion

_TROUBLE = (ModelState.REFUSED, ModelState.RETRYING)


def deployment(
    snapshot: Snapshot, route: Route, rollout: Rollout | None, max_entries: int, entries_before: int | None = None
) -> Deployment:
    """One route: what serves it, what did before, and where.

    Args:
        snapshot: The state.
        route: The route.
        rollout: The one that is under way, as its own answer.
        max_entries: Most entries of its timeline.
        entries_before: Only entries that took force before this control offset.
    """
    serving = serving_version(snapshot, route)
    newest = route.history[0] if route.history else None
    before = [v for v in route.history if serving is not None and v.control_offset < serving.control_offset]
    older = (e for e in route.newest_first() if entries_before is None or e.offset < entries_before)
    entries = list(islice(older, max_entries + 1))
    return Deployment(
        key=route.key,
        plan=plan_shape(route.plan) if route.plan is not None else None,
        revision=route.revision,
        change=operation_view(snapshot, route.change) if route.change is not None else None,
        rollout=rollout,
        serving=_placed(snapshot, serving) if serving is not None else None,
        newest=_placed(snapshot, newest) if newest is not None else None,
        stack=[_placed(snapshot, version) for version in before],
        workers=_workers(snapshot, route),
        errors=[
            outcome_of(snapshot, worker.worker, reported)
            for worker, reported in (reports_on(snapshot, newest) if newest is not None else ())
            if reported.report.state in _TROUBLE
        ],
        entries=[_entry(entry) for entry in entries[:max_entries]],
        more_entries=len(entries) > max_entries,
    )


def _entry(entry: RouteEntry) -> Entry:
    return Entry(
        control_offset=entry.change,
        entry_offset=entry.offset,
        at=rfc3339(max(0, entry.at_ms)),
        plan=plan_shape(entry.plan) if entry.plan is not None else None,
        exact=entry.is_exact,
        cuts=[
            Changed(group=lane.group, topic=lane.topic, partition=lane.partition, cut=cut)
            for lane, cut in sorted(entry.cuts.items())
        ],
        actor=entry.actor,
        reason=entry.reason,
        rollout=str(entry.rollout) if entry.rollout is not None else None,
    )


def _workers(snapshot: Snapshot, route: Route) -> list[Serving]:
    """What each worker has said that it scores the data types of the route with."""
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
        for data_type, reported in sorted(worker.loaded.items())
        if matches(route.key, data_type)
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
