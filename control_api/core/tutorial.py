"""Statistics as the Lightbend tutorial answers them.

Its `GET /processors` is `{"models": [<data type>, ...]}` and its `GET /state/<data type>` is the Jackson rendering of

    ModelToServeStats(name, description, modelType: Int, since: Long, usage: Long, duration: Double, min: Long, max: Long)

with milliseconds throughout; `min` and `max` start at the ends of `Long`, and a data type without a model gets the
defaults of that class (whose `modelType` is PMML's number) with status 200. Only what serves now is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from control_api.core.outcomes import serving_version
from control_api.core.snapshot import Snapshot
from control_api.core.stats import live_since_ms
from control_api.ports import WorkerStatistics
from control_api.schemas.tutorial import TutorialState
from model_store.core.descriptor import BUILT_IN_TYPES, PMML
from model_store.core.stats import NOTHING, Series, merge_all

LONG_MAX: Final = 2**63 - 1
LONG_MIN: Final = -(2**63)


def state(snapshot: Snapshot, data_type: str, parts: Sequence[WorkerStatistics]) -> TutorialState:
    """How the version that serves a data type does."""
    served = (serving_version(snapshot, route) for route in snapshot.catalogue.routes_for(data_type))
    version = next((version for version in served if version is not None), None)
    if version is None:
        return TutorialState(
            name="", description="", modelType=BUILT_IN_TYPES.index(PMML), since=0, usage=0, duration=0.0, min=LONG_MAX,
            max=LONG_MIN,
        )  # fmt: skip
    series = Series(version.model, version.version, data_type)
    observed = merge_all(part.series.get(series, NOTHING) for part in parts)
    model_type = version.descriptor.model_type
    return TutorialState(
        name=version.model,
        description=version.descriptor.description,
        modelType=BUILT_IN_TYPES.index(model_type) if model_type in BUILT_IN_TYPES else -1,
        since=live_since_ms(snapshot, version),
        usage=observed.count,
        duration=observed.duration_ns / 1e6,
        min=round(observed.min_ns / 1e6) if observed.min_ns is not None else LONG_MAX,
        max=round(observed.max_ns / 1e6) if observed.max_ns is not None else LONG_MIN,
    )
