"""`sluice route`: changing what serves a data type."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.groups import group_of
from sluice.cli.output import print_json
from sluice.cli.plan_text import arm_of, print_route_plan, target_of, with_primary
from sluice.cli.progress import follow
from sluice.cli.writing import (
    WATCH_SECONDS,
    ActorOption,
    DeadlineOption,
    DryRunOption,
    ModeOption,
    ReasonOption,
    TimeoutOption,
    WaitOption,
    checked_mode,
    pairs,
)
from sluice.client import ABSENT, ApiError, Client, Plan, Rule, Speculation, Target
from sluice.client.route_calls import PREVIOUS
from sluice.stack.lifecycle import DEFAULT_FOLDER

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="A data type, a pattern in quotes such as 'wine-*', or '*' for the rest.")
]


def set_(
    key: KeyArgument,
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="The primary: what serves.")],
    version: Annotated[str | None, typer.Option("--version", metavar="N", help="Its version.")] = None,
    alias: Annotated[
        str | None, typer.Option("--alias", metavar="ALIAS", help="Or an alias that the route follows.")
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MODEL:VERSION:PERCENT", help="Another version for a share of the entities. May be repeated."
        ),
    ] = None,
    dark: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL:VERSION", help="Scores everything too, to the dark topic only. May be repeated."),
    ] = None,
    fallback: Annotated[
        str | None, typer.Option(metavar="MODEL:VERSION", help="Scores the records that their version could not.")
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(metavar="ENTITY=ARM", help="This entity is for this arm, whatever the shares. May be repeated."),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'CEL=>ARM'",
            help="Records like this are for this arm: 'alcohol > 12.5=>canary'. The first match wins.",
        ),
    ] = None,
    decider: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="All arms score everything; first, best_confidence, vote or mean decides."),
    ] = None,
    timeout_ms: Annotated[
        int, typer.Option(min=1, max=60_000, metavar="MS", help="Arms that are slower take no part in the decision.")
    ] = 150,
    salt: Annotated[str, typer.Option(metavar="TEXT", help="Deal all entities anew; default: as they are.")] = "",
    mode: ModeOption = "exact",
    deadline: DeadlineOption = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    wait: WaitOption = True,
    timeout: TimeoutOption = WATCH_SECONDS,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Give a route a whole new plan: what is not named here is not in it. Look first with --dry-run.

    The stream does not stop. The primary gets what the arms leave. If a worker cannot load a version, or the deadline
    passes, nothing changes anywhere.
    """
    plan = Plan(
        arms=with_primary(_primary(model, version, alias), [arm_of(each) for each in arm or []]),
        salt=salt,
        pins=pairs(pin, "--pin", "ENTITY=ARM"),
        rules=tuple(_rule(each) for each in rule or []),
        dark=tuple(target_of(each, "--dark") for each in dark or []),
        fallback=target_of(fallback, "--fallback") if fallback else None,
        speculation=Speculation(decider, timeout_ms) if decider else None,
    )
    checked_mode(mode)
    with connected(api, data, actor) as client:
        if dry_run:
            found = client.plan_route(key, plan, mode=mode)
            print_json(found) if as_json else print_route_plan(found)
            return
        done = client.put_route(
            key, plan, revision=_revision(client, key), mode=mode, deadline_seconds=deadline, reason=reason
        )
        follow(client, done.id, wait, timeout, as_json)


def rollback(
    key: KeyArgument,
    to: Annotated[
        str,
        typer.Option(
            metavar="previous|MODEL:VERSION",
            help="What served before (all steps of a rollout count as one), or a version.",
        ),
    ] = PREVIOUS,
    mode: ModeOption = "exact",
    deadline: DeadlineOption = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    wait: WaitOption = True,
    timeout: TimeoutOption = WATCH_SECONDS,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Take a route back to what it served before. Exact like any other change, and just as quick.

    Afterwards `sluice correct start KEY --bad MODEL:VERSION` scores the records again that the bad version scored.
    """
    aim = PREVIOUS if to == PREVIOUS else target_of(to, "--to")
    if isinstance(aim, Target) and aim.version is None:
        raise typer.BadParameter(f"expected previous or MODEL:VERSION with a number, found {to!r}", param_hint="--to")
    checked_mode(mode)
    with connected(api, data, actor) as client:
        if dry_run:
            found = client.plan_rollback(key, aim, mode=mode)
            print_json(found) if as_json else print_route_plan(found)
            return
        revision = client.route(key).revision
        done = client.rollback(key, aim, revision=revision, mode=mode, deadline_seconds=deadline, reason=reason)
        follow(client, done.id, wait, timeout, as_json)


def delete(
    key: KeyArgument,
    mode: ModeOption = "exact",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    wait: WaitOption = True,
    timeout: TimeoutOption = WATCH_SECONDS,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Take a route away. Its records are for the next route that matches them; if none does, they become dead letters."""
    checked_mode(mode)
    with connected(api, data, actor) as client:
        if dry_run:
            found = client.plan_route_removal(key, mode=mode)
            print_json(found) if as_json else print_route_plan(found)
            return
        revision = client.route(key).revision
        if not yes:
            typer.confirm(
                f"Take the route {key} away? Records that no other route is for become dead letters.",
                abort=True,
                err=True,
            )
        done = client.delete_route(key, revision=revision, mode=mode, reason=reason)
        follow(client, done.id, wait, timeout, as_json)


def group() -> typer.Typer:
    """The commands."""
    return group_of(
        {"set": set_, "rollback": rollback, "delete": delete}, "Change a route, roll it back, or take it away."
    )


def _primary(model: str, version: str | None, alias: str | None) -> Target:
    if (version is None) == (alias is None):
        raise typer.BadParameter("give either --version or --alias", param_hint="--model")
    if version is not None and not version.removeprefix("v").isdecimal():
        raise typer.BadParameter(f"expected a number, found {version!r}", param_hint="--version")
    return Target(model=model, version=version.removeprefix("v") if version else None, alias=alias)


def _rule(text: str) -> Rule:
    when, arrow, arm = text.rpartition("=>")
    if not (arrow and when.strip() and arm.strip()):
        raise typer.BadParameter(f"expected 'CEL=>ARM', found {text!r}", param_hint="--rule")
    return Rule(when.strip(), arm.strip())


def _revision(client: Client, key: str) -> int:
    """Of the route as it is now; `ABSENT` for a new one."""
    try:
        return client.route(key, max_entries=0).revision
    except ApiError as error:
        if error.status == 404:
            return ABSENT
        raise
