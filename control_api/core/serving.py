"""Which routes have which version in their plan: asked of every row of a list, so found out once an answer."""

from __future__ import annotations

from dataclasses import dataclass

from control_api.core.outcomes import serving_version
from control_api.core.snapshot import Snapshot
from model_store.core.versions import ModelVersion

Name = tuple[str, int]
"""Model and version."""


@dataclass(frozen=True, slots=True)
class InPlans:
    """Of one moment.

    Attributes:
        serving: Version -> keys of the routes whose results come from it, as the primary, an arm or the fallback.
        named: Version -> keys of the routes whose plan has it, dark ones included.
        by_model: Model -> keys of the routes that some version of it serves.
    """

    serving: dict[Name, list[str]]
    named: dict[Name, list[str]]
    by_model: dict[str, list[str]]

    def serves(self, version: ModelVersion) -> bool:
        """It is what some route's records are scored with now."""
        return (version.model, version.version) in self.serving

    def routes_of(self, version: ModelVersion) -> list[str]:
        """Keys of the routes that have it."""
        return self.named.get((version.model, version.version), [])


def in_plans(snapshot: Snapshot) -> InPlans:
    """What the routes serve now. A primary that was refused, or is not loaded yet, does not serve; the one before it does."""
    serving: dict[Name, list[str]] = {}
    named: dict[Name, list[str]] = {}
    by_model: dict[str, list[str]] = {}
    for key, route in sorted(snapshot.catalogue.routes.items()):
        if route.plan is None:
            continue
        primary = serving_version(snapshot, route)
        served = {(target.model, target.version) for target in route.plan.serving_targets()}
        served.discard((route.plan.primary.target.model, route.plan.primary.target.version))
        if primary is not None:
            served.add((primary.model, primary.version))
        for name in served:
            serving.setdefault(name, []).append(key)
        for model in {model for model, _ in served}:
            by_model.setdefault(model, []).append(key)
        for name in served | {(target.model, target.version) for target in route.plan.targets()}:
            named.setdefault(name, []).append(key)
    return InPlans(serving, named, by_model)
