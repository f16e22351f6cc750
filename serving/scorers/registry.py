"""Which engine serves which model type.

The built-in types are a closed table of places to import from, so a worker without PMML models never starts what PMML
needs. Other types are found among the entry points of the group `sluice.scorers`: the entry point's name is the model
type, its value a class without arguments that is an `Engine`. A third party cannot displace a built-in type.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from serving.core.errors import EngineUnavailableError, UnsupportedModelError
from serving.scorers.base import Considerate, Engine

ENTRY_POINT_GROUP = "sluice.scorers"

BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "TENSORFLOW": "serving.scorers.tensorflow.engine:FrozenGraphEngine",
        "TENSORFLOWSAVED": "serving.scorers.tensorflow.engine:SavedModelEngine",
        "PMML": "serving.scorers.pmml.engine:PmmlEngine",
    }
)
"""Model type -> `module:class`."""


def installed_types() -> tuple[str, ...]:
    """The model types that some engine takes, sorted."""
    return tuple(sorted({*BUILT_IN, *_third_party()}))


class EngineRegistry:
    """The engines of a process, each made when its first model arrives. Safe to use from several threads."""

    def __init__(self, options: Mapping[str, Mapping[str, object]] | None = None, *, records_flow: bool = True) -> None:
        """Args:
        options: Model type -> keyword arguments of its built-in engine.
        records_flow: There are records already that loads should not delay; if not, say so when there are.
        """
        self._options = dict(options or {})
        self._records_flow = records_flow
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def engine_for(self, model_type: str) -> Engine:
        """The engine for `model_type` (`TENSORFLOW`, `PMML`, ...), the same one each time.

        Raises:
            UnsupportedModelError: No engine takes that type; the message lists those that are installed.
            EngineUnavailableError: The engine is there but cannot be imported or made.
        """
        with self._lock:
            if model_type not in self._engines:
                engine = _make(model_type, self._options.get(model_type, {}))
                if isinstance(engine, Considerate):
                    engine.records_flow(self._records_flow)
                self._engines[model_type] = engine
            return self._engines[model_type]

    def records_flow(self) -> None:
        """From now on there are records that loads should not delay. Waits for loads that are under way."""
        with self._lock:
            self._records_flow = True
            engines = list(self._engines.values())
        for engine in engines:
            if isinstance(engine, Considerate):
                engine.records_flow(True)

    def close(self) -> None:
        """Close every engine that was made. Their scorers are closed before."""
        with self._lock:
            engines, self._engines = list(self._engines.values()), {}
        for engine in engines:
            engine.close()


def _third_party() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name not in BUILT_IN}


def _make(model_type: str, options: Mapping[str, object]) -> Engine:
    place = BUILT_IN.get(model_type) or getattr(_third_party().get(model_type), "value", None)
    if place is None:
        raise UnsupportedModelError(
            f"no engine for models of type {model_type!r}; installed are {', '.join(installed_types())}"
        )
    module_name, _, class_name = place.partition(":")
    try:
        made = getattr(import_module(module_name), class_name)(**options)
    except Exception as error:  # a third party's module may fail in any way
        raise EngineUnavailableError(
            f"the engine {place} for models of type {model_type!r} cannot be made: {error}"
        ) from error
    if not isinstance(made, Engine):
        raise EngineUnavailableError(f"{place}, registered for models of type {model_type!r}, is not an engine")
    return made
