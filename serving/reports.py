"""What a worker tells others of its models: one word a version, and another only when something changed.

Belongs to the event loop's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from model_store.core.control_records import ModelReport, ModelState, PartitionOffset
from model_store.core.routes import ROUTE_HISTORY, Route
from model_store.core.state import Catalogue
from model_store.core.versions import ModelVersion
from serving.loader import Loaded
from serving.loads import Refusal


@dataclass(slots=True)
class Reports:
    """See the module.

    Attributes:
        report: Puts a report on the control log; returns at once.
        worker: Worker id.
        epoch: Unique for this process.
        first_to_report: Control offset; versions that were replaced before it need no report.
    """

    report: Callable[[ModelReport], None]
    worker: str
    epoch: str
    first_to_report: int = 0
    _said: dict[int, ModelState] = field(default_factory=dict)
    _swap_ms: float = 0.0

    def swapped(self, seconds: float) -> None:
        """Time that the scoring thread spent on the change that is reported next."""
        self._swap_ms += seconds * 1e3

    def live(
        self, version: ModelVersion, route: str, loaded: Loaded | None, since: tuple[PartitionOffset, ...]
    ) -> None:
        """A version serves a route from these offsets on."""
        unbound = loaded.unbound.items() if loaded is not None else ()
        self._send(
            version,
            ModelState.LIVE,
            data_type=route,
            since=since,
            loaded=loaded,
            reason="; ".join(f"stream {name}: {reason}" for name, reason in unbound),
        )

    def trouble(self, version: ModelVersion, why: Refusal) -> None:
        """A version is refused, or cannot be had for the moment."""
        state = ModelState.RETRYING if why.problem == "unavailable" else ModelState.REFUSED
        if self._said.get(version.control_offset) is not state:
            self._send(version, state, reason=why.reason, problem=why.problem)

    def rest(self, catalogue: Catalogue, here: set[str], in_force: Mapping[str, int]) -> None:
        """Say of every announced version what became of it here, so that nobody waits for an answer."""
        for key, route in catalogue.routes.items():
            if not route.history:
                continue
            if key not in here:
                newest = route.history[0]
                if self._said.get(newest.control_offset) is not ModelState.ELSEWHERE:
                    self._send(newest, ModelState.ELSEWHERE, data_type=key)
                continue
            serving = in_force.get(key)
            if serving is not None:
                self._rest_of(catalogue, route, serving)

    def _rest_of(self, catalogue: Catalogue, route: Route, serving: int) -> None:
        is_older = False
        for entry in islice(route.newest_first(), ROUTE_HISTORY):
            if entry.change < self.first_to_report:
                break
            version = catalogue.version(entry.plan.primary.target) if entry.plan is not None else None
            if (
                is_older
                and version is not None
                and self._said.get(version.control_offset) in (None, ModelState.RETRYING)
            ):
                reason = f"{route.history[0].model} v{route.history[0].version} came before it was loaded"
                self._send(version, ModelState.RETIRED, data_type=route.key, reason=reason)
            is_older = is_older or entry.change == serving

    def _send(
        self,
        version: ModelVersion,
        state: ModelState,
        *,
        data_type: str = "",
        reason: str = "",
        problem: str = "",
        since: tuple[PartitionOffset, ...] = (),
        loaded: Loaded | None = None,
    ) -> None:
        self._said[version.control_offset] = state
        swap_ms, self._swap_ms = (self._swap_ms, 0.0) if state is ModelState.LIVE else (0.0, self._swap_ms)
        self.report(
            ModelReport(
                self.worker,
                self.epoch,
                version.control_offset,
                version.model,
                version.version,
                data_type or version.data_type,
                state,
                reason=reason,
                problem=problem,
                since=since,
                at_ms=int(time.time() * 1e3),
                load_ms=loaded.seconds * 1e3 if loaded else 0.0,
                swap_ms=swap_ms,
                signature=loaded.scorer.signature if loaded else None,
                sha256=loaded.sha256 if loaded else b"",
                engine=loaded.scorer.engine if loaded else "",
                artifact_bytes=loaded.size_bytes if loaded else 0,
            )
        )
