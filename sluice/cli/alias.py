"""`sluice alias`: names that point to versions."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.groups import group_of
from sluice.cli.output import print_columns, print_json
from sluice.cli.writing import ActorOption, DryRunOption, ReasonOption
from sluice.client import ABSENT, Client
from sluice.stack.lifecycle import DEFAULT_FOLDER

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL")]
AliasArgument = Annotated[str, typer.Argument(metavar="ALIAS", help="Such as champion.")]


def list_(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Only of this model.")] = None,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """List aliases and where they point."""
    with connected(api, data) as client:
        models = client.models() if model is None else [client.model(model)]
        if as_json:
            print_json({found.name: found.aliases for found in models if found.aliases or model})
            return
        rows = [(found.name, alias, version) for found in models for alias, version in sorted(found.aliases.items())]
        print_columns(
            ("model", "alias", "version"), rows, "No alias: `sluice alias set MODEL ALIAS VERSION` makes one."
        )


def set_(
    model: ModelArgument,
    alias: AliasArgument,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A number.")],
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Let an alias point to a version. Each route that follows it is moved by an exact change of its own, in a moment."""
    if not version.isdecimal():
        raise typer.BadParameter(f"expected the number of a version, found {version!r}", param_hint="VERSION")
    with connected(api, data, actor) as client:
        before, followers = _before(client, model, alias)
        revision = ABSENT if before is None else client.alias(model, alias).revision
        found = client.set_alias(model, alias, version, revision=revision, reason=reason, dry_run=dry_run)
        if as_json:
            print_json(found)
            return
        came = f", before version {before}" if before and before != version else ""
        verb = "would point" if dry_run else "points"
        typer.echo(
            f"{model} @{alias} {verb} to version {version}{came}." + (" Nothing was written." if dry_run else "")
        )
        if followers and before != version:
            what = "would be moved" if dry_run else "are moved now"
            typer.echo(f"Routes that follow it {what}: {', '.join(followers)}. See: sluice routes show {followers[0]}")


def delete(
    model: ModelArgument,
    alias: AliasArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Take an alias away. Refused while a route follows it."""
    with connected(api, data, actor) as client:
        before = client.alias(model, alias)
        found = client.delete_alias(model, alias, revision=before.revision, reason=reason, dry_run=dry_run)
        if as_json:
            print_json(found)
        else:
            what = "would be taken away; nothing was written." if dry_run else "is taken away."
            typer.echo(f"{model} @{alias} (version {before.version}) {what}")


def group() -> typer.Typer:
    """The commands."""
    return group_of({"list": list_, "set": set_, "delete": delete}, "Let names point to versions of a model.", "list")


def _before(client: Client, model: str, alias: str) -> tuple[str | None, list[str]]:
    """Where it points now, and the keys of the routes that follow it."""
    found = client.model(model)
    followers = [
        route.key
        for route in client.routes()
        if route.plan is not None and any((each.model, each.alias) == (model, alias) for each in route.plan.targets())
    ]
    return found.aliases.get(alias), followers
