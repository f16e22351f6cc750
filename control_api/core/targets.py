"""The version that a request means: by its number, or by an alias as it is now."""

from __future__ import annotations

from model_store.core.catalogue import Catalogue
from model_store.core.plans import Target
from model_store.core.versions import ModelVersion, Stage


class UnknownTargetError(Exception):
    """There is no such version; the message says what is missing."""


def find_target(catalogue: Catalogue, model: str, version: int | None, alias: str | None) -> Target:
    """The version as a plan names it.

    Raises:
        UnknownTargetError: There is no such model, alias or version.
    """
    known = catalogue.models.get(model)
    if known is None or known.is_deleted:
        raise UnknownTargetError(f"there is no model {model!r}")
    number = known.aliases.get(alias) if alias is not None else version
    if number is None:
        has = f"; it has: {', '.join(sorted(known.aliases))}" if known.aliases else ""
        raise UnknownTargetError(f"model {model} has no alias {alias!r}{has}")
    target = Target(model, number, alias or "")
    version_of(catalogue, target)
    return target


def version_of(catalogue: Catalogue, target: Target) -> ModelVersion:
    """The version that a target names.

    Raises:
        UnknownTargetError: There is none, or it was deleted.
    """
    found = catalogue.version(target)
    if found is None or catalogue.notes_of(found).stage is Stage.DELETED:
        raise UnknownTargetError(f"there is no version {target.version} of model {target.model}")
    return found
