"""`sluice versions`: the versions of a model, what became of them, and who approved them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.groups import group_of
from sluice.cli.output import ago, print_columns, print_fields, print_json, size, when
from sluice.cli.progress import said
from sluice.cli.writing import ActorOption, DryRunOption, ReasonOption, pairs
from sluice.client.answers import Approvals, ModelVersion
from sluice.stack.lifecycle import DEFAULT_FOLDER

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL")]
NumberArgument = Annotated[str, typer.Argument(metavar="VERSION", help="A number, or latest.")]
AsOfOption = Annotated[str, typer.Option("--as-of", metavar="TIME", help="As it was then: 2026-03-01T12:00:00Z.")]


def list_versions(
    model: ModelArgument,
    filter_: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="tags.team = 'cellar' AND stage = 'active', as in MLflow.")
    ] = "",
    order_by: Annotated[
        list[str] | None, typer.Option("--order-by", metavar="ATTRIBUTE [ASC|DESC]", help="May be repeated.")
    ] = None,
    as_of: AsOfOption = "",
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """List the versions of a model, newest first."""
    with connected(api, data) as client:
        found = client.versions(model, filter_, order_by=order_by or (), as_of=as_of)
        print_json(found) if as_json else print_versions(found)


def show(
    model: ModelArgument,
    version: NumberArgument = "latest",
    as_of: AsOfOption = "",
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of a version: where it comes from, what it takes, who approved it, what workers say."""
    with connected(api, data) as client:
        found = client.version(model, version, as_of=as_of)
        print_json(found) if as_json else _print_version(found)


def set_(
    model: ModelArgument,
    version: NumberArgument,
    description: Annotated[str | None, typer.Option(help="A sentence for people.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Set a tag; NAME= takes it away. May be repeated.")
    ] = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Say something else of a version. What it is never changes; what is not named stays."""
    tags = pairs(tag, "--tag")
    if description is None and not tags:
        raise typer.BadParameter("say what is to be set: --description or --tag")
    with connected(api, data, actor) as client:
        before = client.version(model, version)
        found = client.update_version(
            model,
            before.version,
            description=description,
            tags=tags,
            revision=before.revision,
            reason=reason,
            dry_run=dry_run,
        )
        print_json(found) if as_json else _print_version(found, dry_run)


def retire(
    model: ModelArgument,
    version: NumberArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Retire a version: nothing can be routed to it until it is restored. Refused while a route or an alias has it."""
    _stage("retired", model, version, reason, actor, dry_run, api, data, as_json)


def restore(
    model: ModelArgument,
    version: NumberArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Bring a retired version back, so that it can be routed to again."""
    _stage("active", model, version, reason, actor, dry_run, api, data, as_json)


def delete(
    model: ModelArgument,
    version: NumberArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Delete a version that no route and no alias points to. Its number is never given again."""
    with connected(api, data, actor) as client:
        before = client.version(model, version)
        gone = client.delete_version(model, before.version, revision=before.revision, reason=reason, dry_run=dry_run)
        what = f"{model} version {before.version}"
        if as_json:
            print_json(gone)
        else:
            typer.echo(f"{what} would be deleted; nothing was written." if dry_run else f"{what} is deleted.")


def approve(
    model: ModelArgument,
    version: NumberArgument,
    plan_digest: Annotated[
        str, typer.Option(metavar="DIGEST", help="Only in this plan (`sluice routes show`); default: as such.")
    ] = "",
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Approve a version, in your name (--actor). A policy of the model may ask for several people."""
    _give(True, model, version, plan_digest, reason, actor, dry_run, api, data, as_json)


def refuse(
    model: ModelArgument,
    version: NumberArgument,
    plan_digest: Annotated[str, typer.Option(metavar="DIGEST", help="Only in this plan; default: as such.")] = "",
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Refuse a version, or take an approval back: while your word is a refusal it is approved by nobody."""
    _give(False, model, version, plan_digest, reason, actor, dry_run, api, data, as_json)


def group() -> typer.Typer:
    """The commands."""
    commands: dict[str, Callable[..., None]] = {
        "list": list_versions,
        "show": show,
        "set": set_,
        "retire": retire,
        "restore": restore,
        "delete": delete,
        "approve": approve,
        "refuse": refuse,
    }
    return group_of(commands, "List, show, approve, retire or delete versions of a model.")


def print_versions(versions: list[ModelVersion]) -> None:
    """A line for each."""
    rows = [
        (
            version.version,
            version.status + (" (serving)" if version.is_serving else ""),
            version.data_type,
            version.type,
            ago(version.since),
            str(version.control_offset),
            version.engine or "-",
            ", ".join(version.aliases) or "-",
            version.status_message if version.stage == "active" else f"{version.stage}: {version.stage_reason}",
        )
        for version in versions
    ]
    headings = ("version", "status", "for", "type", "published", "offset", "engine", "aliases", "message")
    print_columns(headings, rows, "No version.")


def _stage(
    stage: str, model: str, version: str, reason: str, actor: str | None, dry_run: bool, api: str | None, data: DataOption,
    as_json: bool,
) -> None:  # fmt: skip
    with connected(api, data, actor) as client:
        before = client.version(model, version)
        found = client.set_stage(model, before.version, stage, revision=before.revision, reason=reason, dry_run=dry_run)
        what = f"{model} version {before.version}"
        if as_json:
            print_json(found)
        else:
            typer.echo(f"{what} would be {stage}; nothing was written." if dry_run else f"{what} is {found.stage}.")


def _give(
    approved: bool, model: str, version: str, plan_digest: str, reason: str, actor: str | None, dry_run: bool,
    api: str | None, data: DataOption, as_json: bool,
) -> None:  # fmt: skip
    with connected(api, data, actor) as client:
        number = client.version(model, version).version
        found = client.approve(model, number, approved, plan_digest=plan_digest, reason=reason, dry_run=dry_run)
        print_json(found) if as_json else _print_approvals(found, dry_run)


def _print_approvals(found: Approvals, dry_run: bool) -> None:
    for each in found.approvals:
        word = "approved" if each.approved else "refused"
        plan = f" in plan {each.plan_digest}" if each.plan_digest else ""
        typer.echo(f"{word} by {each.actor}{plan}, {ago(each.at)}" + (f": {each.reason}" if each.reason else ""))
    by = ", ".join(found.approved_by) or "nobody"
    typer.echo(f"{found.name} version {found.version} is approved by {by}; {found.needed} needed.")
    if dry_run:
        typer.echo("Nothing was written.")


def _print_version(version: ModelVersion, dry_run: bool = False) -> None:
    words = [f"{each.actor} {'approved' if each.approved else 'refused'}" for each in version.approvals]
    source = version.source or "in the control log"
    inputs = [slot.name or "?" for slot in version.signature.slots] if version.signature else []
    print_fields(
        [
            ("version", f"{version.name} {version.version}, for {version.data_type}"),
            ("status", version.status + (" (serving)" if version.is_serving else "")),
            ("message", version.status_message),
            ("stage", version.stage + (f": {version.stage_reason}" if version.stage_reason else "")),
            ("routes", ", ".join(version.routes)),
            ("aliases", ", ".join(version.aliases)),
            ("description", version.description),
            ("owner", version.owner),
            ("published", f"{when(version.since)}{f' by {version.publisher}' if version.publisher else ''}"),
            ("type", version.type + (f", loaded by {version.engine}" if version.engine else "")),
            ("artifact", f"{source}, {size(version.artifact_bytes)}, sha256 {version.sha256 or '-'}"),
            ("takes", ", ".join(inputs)),
            ("tags", ", ".join(f"{name}={value}" for name, value in sorted(version.tags.items()))),
            *((f"from {kind}", where) for kind, where in sorted(version.references.items())),
            ("approvals", ", ".join(words)),
            ("back-test", version.backtest or ""),
            ("control offset", str(version.control_offset)),
            ("revision", str(version.revision)),
        ]
    )
    for outcome in version.workers:
        typer.echo(f"  {outcome.worker}: {said(outcome)}")
    if dry_run:
        typer.echo("Nothing was written.")
