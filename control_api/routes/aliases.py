"""Aliases: names that point to versions. Routes that name an alias are moved when it moves, by a change of their own."""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from control_api.access import authorize_write
from control_api.commanding import AskedHere, Written, json_answer, perform
from control_api.core.models import alias_shape, registered_model
from control_api.core.serving import in_plans
from control_api.core.snapshot import Snapshot
from control_api.errors import INVALID, NOT_CAUGHT_UP, NOT_FOUND, PRECONDITION_REQUIRED, STALE, ApiError
from control_api.finding import find_model
from control_api.preconditions import expected_revision
from control_api.reading import SnapshotNow, answer, etag_of
from control_api.schemas.models import Alias, RegisteredModel
from control_api.schemas.parameters import AliasName, IfNoneMatch, ModelName, ReasonParameter
from control_api.schemas.problem import WRITES, answers, written
from control_api.schemas.registry import AliasGiven
from model_store.core import versions
from model_store.core.commands import ABSENT, SetAlias
from model_store.core.descriptor import NAME_PATTERN

router = APIRouter(prefix="/api/v1/registered-models", tags=["models"])

_NUMBER: Final = re.compile(r"\d+|v\d+|latest|previous")
"""Words that mean a version by themselves."""


@router.get("/{name:path}/aliases/{alias}", response_model=Alias, responses=answers(NOT_FOUND, INVALID, NOT_CAUGHT_UP))
async def read_alias(
    request: Request, snapshot: SnapshotNow, name: ModelName, alias: AliasName, if_none_match: IfNoneMatch = None
) -> Response:
    """The version that an alias names. Its revision is that of its model."""
    found = alias_shape(find_model(snapshot, name), alias)
    if found is None:
        raise ApiError(NOT_FOUND, f"model {name} has no alias {alias!r}")
    return answer(request, snapshot, found, found.revision)


@router.put(
    "/{name:path}/aliases/{alias}",
    response_model=Alias,
    dependencies=[Depends(authorize_write)],
    responses={
        **written(200, Alias, "It names this version now."),
        **answers(*WRITES, NOT_FOUND, PRECONDITION_REQUIRED),
    },
)
async def set_alias(
    snapshot: SnapshotNow, asked: AskedHere, name: ModelName, alias: AliasName, body: AliasGiven
) -> Response:
    """Let an alias name a version. `If-None-Match: *`: only if the model has no such alias yet."""
    if not NAME_PATTERN.fullmatch(alias) or _NUMBER.fullmatch(alias):
        raise ApiError(
            INVALID,
            f"{alias!r} is no alias: a-z, 0-9, '.', '_' and '-', a letter or digit at both ends; no number, latest or previous",
        )
    model = find_model(snapshot, name)
    set_to = SetAlias(name, alias, int(body.version))

    def moved(written: Written, after: Snapshot) -> Response:
        found = alias_shape(after.catalogue.models[name], alias)
        assert found is not None
        return json_answer(found, 200, {"ETag": etag_of(found.model_dump_json().encode(), found.revision)})

    command = asked.command(set_to, body.reason, _expected(asked, model, alias))
    return await perform(asked, snapshot, command, moved, lambda after: _current(after, name, alias))


@router.delete(
    "/{name:path}/aliases/{alias}",
    response_model=RegisteredModel,
    dependencies=[Depends(authorize_write)],
    responses={
        **written(200, RegisteredModel, "The model, without it."),
        **answers(*WRITES, NOT_FOUND, PRECONDITION_REQUIRED),
    },
)
async def delete_alias(
    snapshot: SnapshotNow, asked: AskedHere, name: ModelName, alias: AliasName, reason: ReasonParameter = ""
) -> Response:
    """Take an alias away that no route follows."""
    model = find_model(snapshot, name)

    def gone(written: Written, after: Snapshot) -> Response:
        return json_answer(registered_model(after, after.catalogue.models[name], in_plans(after)))

    command = asked.command(SetAlias(name, alias, 0), reason, _expected(asked, model, alias))
    return await perform(asked, snapshot, command, gone, lambda after: _current(after, name, alias))


def _expected(asked: AskedHere, model: versions.RegisteredModel, alias: str) -> int | None:
    """The revision of the model that the write was decided on: an alias has none of its own."""
    is_there = alias in model.aliases
    expected = expected_revision(
        asked.if_match, asked.if_none_match, model.revision if is_there else ABSENT, is_required=not asked.is_dry_run
    )
    if expected != ABSENT:
        return expected
    if is_there:
        shape = alias_shape(model, alias)
        current = shape.model_dump(mode="json") if shape is not None else None
        raise ApiError(STALE, f"model {model.name} has the alias {alias!r} already", {"current": current})
    return model.revision


def _current(snapshot: Snapshot, name: str, alias: str) -> Alias | RegisteredModel | None:
    model = snapshot.catalogue.models.get(name)
    if model is None:
        return None
    return alias_shape(model, alias) or registered_model(snapshot, model, in_plans(snapshot))
