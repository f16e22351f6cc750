"""`sluice plan` and `sluice apply`: routes kept as files.

A plan is what files would change of what the API serves. Its digest covers each change, before and after, and nothing else:
the same files against the same routes give the same digest anywhere, so what was approved in a review is what is applied.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sluice.cli import EXIT_FAILED
from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.output import print_json
from sluice.cli.plan_text import difference, members, print_difference, summary
from sluice.cli.progress import follow
from sluice.cli.route_files import RouteFile, RouteFilesError, read_routes
from sluice.cli.writing import WATCH_SECONDS, ActorOption, DryRunOption, ReasonOption, TimeoutOption, WaitOption
from sluice.client import ABSENT, ApiError, Client, Plan
from sluice.client.answers import Route
from sluice.stack.lifecycle import DEFAULT_FOLDER

FilesOption = Annotated[
    list[Path],
    typer.Option("--file", "-f", metavar="PATH", help="A file, or a folder with all its .yaml files. May be repeated."),
]
PruneOption = Annotated[
    bool, typer.Option("--prune", help="Take away the routes that no file has. Without it they are left alone.")
]
_WORDS = {"create": "created", "change": "changed", "delete": "deleted", "unchanged": "unchanged"}


@dataclass(frozen=True, slots=True)
class RouteDifference:
    """One route: as the API serves it, and as the files say.

    Attributes:
        action: `create`, `change`, `delete` or `unchanged`.
        before: `None`: it serves nothing.
        after: `None`: it is to serve nothing.
        revision: Of the route as it was read; `ABSENT` if there is none.
        file: What says so; `None` for one that is pruned.
    """

    key: str
    action: str
    before: Plan | None
    after: Plan | None
    revision: int
    file: RouteFile | None = None

    @property
    def mode(self) -> str:
        """How it is changed."""
        return self.file.mode if self.file is not None else "exact"

    @property
    def with_salt(self) -> bool:
        """The salt is compared: the file says one."""
        return self.file is None or self.file.salt_given

    def lines(self) -> list[str]:
        """A unified diff."""
        return difference(self.before, self.after, self.key, self.with_salt)


def plan(
    file: FilesOption,
    prune: PruneOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Show what files of routes would change, and the digest that `sluice apply --plan-digest` takes. Writes nothing."""
    files = _read(file)
    with connected(api, data) as client:
        found = differences(files, served(client, files), prune)
        print_json(as_data(found)) if as_json else _print_plan(found)


def apply(
    file: FilesOption,
    prune: PruneOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    plan_digest: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Refuse if the plan is another than the one that was approved.")
    ] = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    wait: WaitOption = True,
    timeout: TimeoutOption = WATCH_SECONDS,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Make routes as files say: one exact change after the other, each waited for. Stops at the first that fails.

    Whoever changes one of these routes between the plan that is shown and its change makes that change fail: nothing is
    overwritten unseen. Applying the same files again goes on where it stopped.
    """
    files = _read(file)
    with connected(api, data, actor) as client:
        found = differences(files, served(client, files), prune)
        todo = [each for each in found if each.action != "unchanged"]
        if not as_json:
            _print_plan(found)
        _check_digest(found, plan_digest)
        if dry_run or not todo:
            if as_json:
                print_json(as_data(found))
            return
        if not yes:
            _confirm(todo)
            _check_unmoved(client, found, files, prune)
        for each in todo:
            if not as_json:
                typer.secho(f"{each.key}: {_WORDS[each.action]}, {each.mode}", bold=True)
            follow(client, _write(client, each, reason), wait, timeout, as_json)


def served(client: Client, files: Mapping[str, RouteFile]) -> dict[str, Route]:
    """The routes that serve something now, and those that once did and that a file has."""
    found = {route.key: route for route in client.routes()}
    for key in files.keys() - found.keys():
        try:
            found[key] = client.route(key, max_entries=0)
        except ApiError as error:
            if error.status != 404:
                raise
    return found


def differences(files: Mapping[str, RouteFile], routes: Mapping[str, Route], prune: bool) -> list[RouteDifference]:
    """What the files would change, by key; with `prune` the routes that no file has are taken away."""
    found = []
    for key, file in sorted(files.items()):
        route = routes.get(key)
        before = route.plan if route is not None else None
        revision = route.revision if route is not None else ABSENT
        is_same = before is not None and members(before, file.salt_given) == members(file.plan, file.salt_given)
        action = "unchanged" if is_same else "create" if before is None else "change"
        found.append(RouteDifference(key, action, before, file.plan, revision, file))
    for key, route in sorted(routes.items()):
        if prune and key not in files and route.plan is not None:
            found.append(RouteDifference(key, "delete", route.plan, None, route.revision))
    return found


def digest_of(found: Sequence[RouteDifference]) -> str:
    """Names the plan, in hexadecimal; that of a plan that changes nothing is always the same."""
    said = [
        [each.key, each.action, each.mode, _said(each.before), _said(each.after)]
        for each in found
        if each.action != "unchanged"
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def as_data(found: Sequence[RouteDifference]) -> dict[str, Any]:
    """A plan as JSON."""
    routes = [
        {
            "key": each.key,
            "action": each.action,
            "mode": each.mode,
            "revision": each.revision,
            "before": _said(each.before),
            "after": _said(each.after),
            "file": each.file.place if each.file is not None else None,
        }
        for each in found
    ]
    return {"digest": digest_of(found), "routes": routes}


def _said(plan: Plan | None) -> dict[str, Any] | None:
    return members(plan) if plan is not None else None


def _read(paths: list[Path]) -> dict[str, RouteFile]:
    try:
        return read_routes(paths)
    except RouteFilesError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        count = len(error.problems)
        typer.secho(f"{count} thing{'s' * (count != 1)} wrong; nothing was sent.", fg="red", err=True)
        raise SystemExit(EXIT_FAILED) from None


def _print_plan(found: Sequence[RouteDifference]) -> None:
    for each in found:
        if each.action == "unchanged":
            typer.echo(f"{each.key}: unchanged ({summary(each.before)})")
            continue
        where = f" ({each.file.place})" if each.file is not None else " (no file has it)"
        typer.secho(f"{each.key}: to be {_WORDS[each.action]}, {each.mode}{where}", bold=True)
        print_difference(each.lines())
    counted = {word: sum(each.action == action for each in found) for action, word in _WORDS.items()}
    typer.echo(", ".join(f"{count} {word}" for word, count in counted.items() if count) + ".")
    typer.echo(f"plan digest: {digest_of(found)}")


def _check_digest(found: Sequence[RouteDifference], approved: str | None) -> None:
    digest = digest_of(found)
    if approved is not None and approved != digest:
        typer.secho(f"Error: the plan is {digest}, not {approved} that was approved.", fg="red", err=True)
        typer.echo("Files or routes have changed since. Nothing was written; `sluice plan` shows it again.", err=True)
        raise SystemExit(EXIT_FAILED)


def _check_unmoved(
    client: Client, found: Sequence[RouteDifference], files: Mapping[str, RouteFile], prune: bool
) -> None:
    """While somebody read the plan, others may have changed routes: better to find that before the first write."""
    now = {each.key: each for each in differences(files, served(client, files), prune)}
    moved = [
        each.key
        for each in found
        if each.action != "unchanged" and (each.key not in now or now[each.key].revision != each.revision)
    ]
    if moved or now.keys() != {each.key for each in found}:
        changed = ", ".join(moved) or ", ".join(sorted(now.keys() ^ {each.key for each in found}))
        typer.secho(f"Error: changed since the plan was shown: {changed}.", fg="red", err=True)
        typer.echo("Nothing was written; run it again to see the plan as it is now.", err=True)
        raise SystemExit(EXIT_FAILED)


def _confirm(todo: Sequence[RouteDifference]) -> None:
    if not sys.stdin.isatty():
        typer.secho("Error: nobody is there to ask: --yes applies it unasked.", fg="red", err=True)
        raise SystemExit(EXIT_FAILED)
    count = len(todo)
    typer.confirm(f"Apply {count} change{'s' * (count != 1)}?", abort=True, err=True)


def _write(client: Client, each: RouteDifference, reason: str) -> str:
    """Ask for the change; its operation."""
    if each.after is None or each.file is None:
        return client.delete_route(each.key, revision=each.revision, mode=each.mode, reason=reason).id
    file = each.file
    done = client.put_route(
        each.key,
        each.after,
        revision=each.revision,
        mode=file.mode,
        deadline_seconds=file.deadline_seconds,
        reason=reason or file.reason,
    )
    return done.id
