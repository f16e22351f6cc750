"""Calls of the registry: models, versions, aliases, tags, policies and approvals.

Everywhere: `revision` is that of the answer it was decided on (`conditions`), `reason` is for the record, and `dry_run`
answers how it would be and writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sluice.client import answers
from sluice.client.calls import API, Call, PagedCall, paged, segment
from sluice.client.conditions import write

_MODELS = f"{API}/registered-models"


def models(filter: str = "", *, order_by: Sequence[str] = (), as_of: str = "") -> PagedCall[answers.RegisteredModel]:
    """All registered models, by name.

    Args:
        filter: MLflow's grammar: `name LIKE 'wine%' AND tags.team = 'cellar'`.
        order_by: `<attribute> [ASC|DESC]`.
        as_of: RFC 3339: as it was then.
    """
    return paged(_MODELS, answers.RegisteredModel, "registered_models", _search(filter, order_by, as_of))


def model(name: str, *, as_of: str = "") -> Call[answers.RegisteredModel]:
    """One registered model."""
    return Call("GET", _model(name), answers.RegisteredModel, {"as_of": as_of} if as_of else {})


def create_model(
    name: str,
    *,
    description: str | None = None,
    owner: str | None = None,
    use_case: str | None = None,
    tags: Mapping[str, str] | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Call[answers.RegisteredModel]:
    """Register a model before it has a version. Publishing one registers it as well."""
    body = {"name": name, "description": description, "owner": owner, "use_case": use_case, "tags": tags}
    return write("POST", _MODELS, answers.RegisteredModel, body, reason=reason, dry_run=dry_run)


def update_model(
    name: str,
    *,
    description: str | None = None,
    owner: str | None = None,
    use_case: str | None = None,
    tags: Mapping[str, str] | None = None,
    revision: int | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Call[answers.RegisteredModel]:
    """Say something else about a model: what is `None` stays, an empty tag is taken away."""
    body = {"description": description, "owner": owner, "use_case": use_case, "tags": tags}
    return write(
        "PATCH", _model(name), answers.RegisteredModel, body, revision=revision, reason=reason, dry_run=dry_run
    )


def delete_model(
    name: str, *, revision: int | None = None, reason: str = "", dry_run: bool = False
) -> Call[answers.RegisteredModel]:
    """Delete a model and all its versions. Refused (`ConflictError`) while a route has one of them."""
    return write("DELETE", _model(name), answers.RegisteredModel, revision=revision, reason=reason, dry_run=dry_run)


def set_policy(
    name: str,
    *,
    approvals: int = 0,
    needs_backtest: bool = False,
    retire_after_seconds: int = 0,
    backtest_records: int | None = None,
    backtest_disagreement: float | None = None,
    backtest_errors: float | None = None,
    revision: int | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Call[answers.RegisteredModel]:
    """Say what versions of a model need before they may serve. See `answers.Policy`. What serves already goes on."""
    body = {
        "approvals": approvals,
        "needs_backtest": needs_backtest,
        "retire_after_seconds": retire_after_seconds,
        "backtest_records": backtest_records,
        "backtest_disagreement": backtest_disagreement,
        "backtest_errors": backtest_errors,
    }
    path = f"{_model(name)}/policy"
    return write("PUT", path, answers.RegisteredModel, body, revision=revision, reason=reason, dry_run=dry_run)


def versions(
    name: str, filter: str = "", *, order_by: Sequence[str] = (), as_of: str = ""
) -> PagedCall[answers.ModelVersion]:
    """All versions of a model, newest first. For the arguments see `models`."""
    path = f"{_model(name)}/versions"
    return paged(path, answers.ModelVersion, "model_versions", _search(filter, order_by, as_of))


def version(name: str, number: str | int, *, as_of: str = "") -> Call[answers.ModelVersion]:
    """One version of a model; `latest` is the newest."""
    return Call("GET", _version(name, number), answers.ModelVersion, {"as_of": as_of} if as_of else {})


def update_version(
    name: str,
    number: str | int,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    revision: int | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Call[answers.ModelVersion]:
    """Say something else about a version; its content never changes. An empty tag is taken away."""
    body = {"description": description, "tags": tags}
    path = _version(name, number)
    return write("PATCH", path, answers.ModelVersion, body, revision=revision, reason=reason, dry_run=dry_run)


def set_stage(
    name: str,
    number: str | int,
    stage: str,
    *,
    revision: int | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Call[answers.ModelVersion]:
    """Retire a version (`retired`), so that nothing can be routed to it, or bring it back (`active`)."""
    path = _version(name, number)
    return write(
        "PATCH", path, answers.ModelVersion, {"stage": stage}, revision=revision, reason=reason, dry_run=dry_run
    )


def delete_version(
    name: str, number: str | int, *, revision: int | None = None, reason: str = "", dry_run: bool = False
) -> Call[answers.ModelVersion]:
    """Delete a version that nothing points to. Its number is never given again."""
    path = _version(name, number)
    return write("DELETE", path, answers.ModelVersion, revision=revision, reason=reason, dry_run=dry_run)


def approvals(name: str, number: str | int) -> Call[answers.Approvals]:
    """Who approved or refused a version."""
    return Call("GET", f"{_version(name, number)}/approvals", answers.Approvals)


def approve(
    name: str,
    number: str | int,
    approved: bool = True,
    *,
    plan_digest: str = "",
    revision: int | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Call[answers.Approvals]:
    """Approve a version, or refuse it, in the name of the client's `actor`; a later word replaces an earlier one.

    Args:
        name: Of the model.
        number: Of the version.
        approved: False refuses it.
        plan_digest: Of the plan that it was shown in; empty: the version as such.
        revision: See the module.
        reason: See the module.
        dry_run: See the module.
    """
    body = {"approved": approved, "plan_digest": plan_digest or None}
    path = f"{_version(name, number)}/approvals"
    return write("POST", path, answers.Approvals, body, revision=revision, reason=reason, dry_run=dry_run)


def alias(name: str, alias: str) -> Call[answers.Alias]:
    """The version that an alias names."""
    return Call("GET", _alias(name, alias), answers.Alias)


def set_alias(
    name: str, alias: str, number: str | int, *, revision: int, reason: str = "", dry_run: bool = False
) -> Call[answers.Alias]:
    """Let an alias name a version. Routes that follow the alias are moved, each by an exact change.

    Args:
        name: Of the model.
        alias: Of the model.
        number: Of the version.
        revision: Of the alias or of its model; `conditions.ABSENT` for a new one.
        reason: See the module.
        dry_run: See the module.
    """
    body = {"version": str(number)}
    return write("PUT", _alias(name, alias), answers.Alias, body, revision=revision, reason=reason, dry_run=dry_run)


def delete_alias(
    name: str, alias: str, *, revision: int, reason: str = "", dry_run: bool = False
) -> Call[answers.RegisteredModel]:
    """Take an alias away that no route follows."""
    path = _alias(name, alias)
    return write("DELETE", path, answers.RegisteredModel, revision=revision, reason=reason, dry_run=dry_run)


def _search(filter: str, order_by: Sequence[str], as_of: str) -> dict[str, str | list[str] | None]:
    return {"filter": filter, "order_by": list(order_by), "as_of": as_of}


def _model(name: str) -> str:
    return f"{_MODELS}/{segment(name)}"


def _version(name: str, number: str | int) -> str:
    return f"{_model(name)}/versions/{segment(str(number))}"


def _alias(name: str, alias: str) -> str:
    return f"{_model(name)}/aliases/{segment(alias)}"
