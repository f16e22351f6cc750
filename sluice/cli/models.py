"""`sluice models`: registered models, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.groups import group_of
from sluice.cli.output import print_columns, print_fields, print_json, when
from sluice.cli.versions import print_versions
from sluice.cli.writing import ActorOption, DryRunOption, ReasonOption, pairs
from sluice.client import ApiError, Client
from sluice.client.answers import Policy, RegisteredModel
from sluice.stack.lifecycle import DEFAULT_FOLDER

FilterOption = Annotated[
    str, typer.Option("--filter", metavar="TEXT", help="name LIKE 'wine%' AND tags.team = 'cellar', as in MLflow.")
]
OrderOption = Annotated[
    list[str] | None, typer.Option("--order-by", metavar="ATTRIBUTE [ASC|DESC]", help="May be repeated.")
]
AsOfOption = Annotated[str, typer.Option("--as-of", metavar="TIME", help="As it was then: 2026-03-01T12:00:00Z.")]


def list_models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="List the versions of this model.")] = None,
    filter_: FilterOption = "",
    order_by: OrderOption = None,
    as_of: AsOfOption = "",
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """List models, or the versions of one, newest first."""
    with connected(api, data) as client:
        if name is not None:
            versions = client.versions(name, filter_, order_by=order_by or (), as_of=as_of)
            print_json(versions) if as_json else print_versions(versions)
            return
        found = client.models(filter_, order_by=order_by or (), as_of=as_of)
        if as_json:
            print_json(found)
            return
        is_all = not (filter_ or as_of)
        print_columns(
            ("model", "latest", "status", "type", "serves", "aliases", "owner", "description"),
            [_row(model) for model in found],
            "No model is published yet: `sluice publish MODEL --for TYPE` does it."
            if is_all
            else "No model is like that.",
        )


def show(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    as_of: AsOfOption = "",
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of a model."""
    with connected(api, data) as client:
        found = client.model(name, as_of=as_of)
        print_json(found) if as_json else _print_model(found)


def set_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model; it is registered if there is none yet.")],
    description: Annotated[str | None, typer.Option(help="A sentence for people.")] = None,
    owner: Annotated[str | None, typer.Option(help="A person or a team: who to call.")] = None,
    use_case: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Set a tag; NAME= takes it away. May be repeated.")
    ] = None,
    approvals: Annotated[
        int | None, typer.Option(min=0, help="So many people must have approved a version before it may serve.")
    ] = None,
    needs_backtest: Annotated[
        bool | None,
        typer.Option(
            "--needs-backtest/--needs-no-backtest", help="A version must have passed one before it may serve."
        ),
    ] = None,
    retire_after: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="SECONDS", help="Retire versions that nothing has routed to for so long; 0: never."
        ),
    ] = None,
    backtest_records: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Both sides must have scored so many records in the back-test."),
    ] = None,
    backtest_disagreement: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="SHARE", help="And differ on no more of them.")
    ] = None,
    backtest_errors: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="SHARE", help="And the version may fail on no more.")
    ] = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Say something else of a model, or register one. What is not named stays; what serves goes on serving."""
    said = {"description": description, "owner": owner, "use_case": use_case}
    tags = pairs(tag, "--tag")
    policy = {
        name: value
        for name, value in (
            ("approvals", approvals),
            ("needs_backtest", needs_backtest),
            ("retire_after_seconds", retire_after),
            ("backtest_records", backtest_records),
            ("backtest_disagreement", backtest_disagreement),
            ("backtest_errors", backtest_errors),
        )
        if value is not None
    }
    has_policy = bool(policy)
    if not (has_policy or tags or any(value is not None for value in said.values())):
        raise typer.BadParameter("say what is to be set: --description, --owner, --tag, --approvals, ...")
    with connected(api, data, actor) as client:
        found = _find(client, name)
        if found is None:
            found = client.create_model(name, **said, tags=tags, reason=reason, dry_run=dry_run)
        elif tags or any(value is not None for value in said.values()):
            found = client.update_model(
                name, **said, tags=tags, revision=found.revision, reason=reason, dry_run=dry_run
            )
        if has_policy and not (dry_run and found.revision < 0):
            found = client.set_policy(
                name,
                **{**msgspec.structs.asdict(found.policy), **policy},
                revision=None if dry_run else found.revision,
                reason=reason,
                dry_run=dry_run,
            )
        print_json(found) if as_json else _print_model(found, dry_run)


def delete(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Delete a model and all its versions. Refused while a route has one of them, dark or not."""
    with connected(api, data, actor) as client:
        found = client.model(name)
        if not (yes or dry_run):
            typer.confirm(f"Delete {name} and its {found.version_count} versions?", abort=True, err=True)
        gone = client.delete_model(name, revision=found.revision, reason=reason, dry_run=dry_run)
        if as_json:
            print_json(gone)
        else:
            typer.echo(
                f"{name} would be deleted; nothing was written."
                if dry_run
                else f"{name} is deleted with all its versions."
            )


def group() -> typer.Typer:
    """The commands."""
    commands: dict[str, Callable[..., None]] = {"list": list_models, "show": show, "set": set_, "delete": delete}
    return group_of(commands, "List, show, describe or delete models.", "list", takes_name=True)


def _find(client: Client, name: str) -> RegisteredModel | None:
    try:
        return client.model(name)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def _row(model: RegisteredModel) -> tuple[str, ...]:
    return (
        model.name,
        model.latest_version or "-",
        model.latest_status or "-",
        model.type or "-",
        ", ".join(model.serving) or "-",
        ", ".join(f"{alias}={version}" for alias, version in sorted(model.aliases.items())) or "-",
        model.owner or "-",
        model.description,
    )


def _print_model(model: RegisteredModel, dry_run: bool = False) -> None:
    policy = (
        [f"{model.policy.approvals} approval{'s' * (model.policy.approvals != 1)}"] if model.policy.approvals else []
    )
    policy += [_backtest(model.policy)] if model.policy.needs_backtest else []
    policy += [f"retired after {model.policy.retire_after_seconds} s"] if model.policy.retire_after_seconds else []
    print_fields(
        [
            ("model", model.name),
            ("description", model.description),
            ("owner", model.owner),
            ("use case", model.use_case),
            (
                "versions",
                f"{model.version_count}, the newest is {model.latest_version or '-'} {model.latest_status or ''}",
            ),
            ("serves", ", ".join(model.serving)),
            ("aliases", ", ".join(f"{alias} -> {version}" for alias, version in sorted(model.aliases.items()))),
            ("tags", ", ".join(f"{name}={value}" for name, value in sorted(model.tags.items()))),
            ("to serve, needs", ", ".join(policy)),
            ("changed", when(model.last_updated_timestamp)),
            ("revision", str(model.revision)),
        ]
    )
    if dry_run:
        typer.echo("Nothing was written.")


def _backtest(policy: Policy) -> str:
    limits = [f"of {policy.backtest_records:,} records or more"] if policy.backtest_records else []
    limits += (
        [f"differing on {policy.backtest_disagreement:.2%} at most"] if policy.backtest_disagreement is not None else []
    )
    limits += [f"failing on {policy.backtest_errors:.2%} at most"] if policy.backtest_errors is not None else []
    return " ".join(["a passed back-test", ", ".join(limits)]).strip()
