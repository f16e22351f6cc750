"""`sluice publish`: all a data scientist needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli import EXIT_FAILED
from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.output import print_json, size
from sluice.cli.progress import positions, progress, tell_done
from sluice.cli.writing import (
    WATCH_SECONDS,
    ActorOption,
    DeadlineOption,
    DryRunOption,
    ReasonOption,
    TimeoutOption,
    checked_mode,
    pairs,
)
from sluice.client import Client, ModelRefusedError, OperationFailedError
from sluice.client.answers import Operation, PublicationPlan, Published
from sluice.client.calls import PublishOptions
from sluice.stack.lifecycle import DEFAULT_FOLDER


def publish(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A file, a SavedModel directory, or with --sha256 a URL that workers fetch."
        ),
    ],
    data_type: Annotated[str, typer.Option("--for", metavar="TYPE", help="The data type that it serves from now on.")],
    name: Annotated[str | None, typer.Option(help="Registered model name; default: made of the file's.")] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="TENSORFLOW, TENSORFLOWSAVED, PMML or an engine; default: what the file is."),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="exact|immediate|none",
            help="How TYPE is turned to it. exact: every partition at a promised offset, all of them or none. immediate: each "
            "worker when it has loaded it. none: not at all, it is only registered.",
        ),
    ] = "exact",
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait", help="Follow it until it serves, or is refused; default: if a worker is running."
        ),
    ] = None,
    timeout: TimeoutOption = WATCH_SECONDS,
    deadline: DeadlineOption = None,
    description: Annotated[str, typer.Option(help="A sentence for people.")] = "",
    publisher: Annotated[str, typer.Option(envvar="SLUICE_PUBLISHER", help="Who publishes it.")] = "",
    sha256: Annotated[str | None, typer.Option(help="Digest of what is at a URL, hexadecimal.")] = None,
    signature: Annotated[str, typer.Option(help="SavedModel signature to serve.")] = "",
    feature: Annotated[
        list[str] | None,
        typer.Option(metavar="FEATURE=FIELD", help="Record field of a model's feature; repeat it, in order."),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=VALUE", help="Where it comes from: training_data=..., code=..., run_id=..., environment=..."
        ),
    ] = None,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Publish a model: from now on it is the model of a data type. The stream does not stop for it.

    If a worker cannot load it, or the deadline passes, nothing changes: the version before serves on, on every partition.
    """
    options: PublishOptions = {
        "type": type_,
        "description": description,
        "publisher": publisher,
        "signature_name": signature,
        "feature_mapping": pairs(feature, "--feature", "FEATURE=FIELD"),
        "mode": checked_mode(mode, "none"),
        "references": pairs(reference, "--reference", "KIND=VALUE"),
        "deadline_seconds": deadline,
        "reason": reason,
    }
    is_url = "://" in model
    if is_url:
        options |= {"source": model, "sha256": sha256}
    with connected(api, data, actor) as client:
        artifact = None if is_url else Path(model)
        if dry_run:
            plan = client.plan_publication(artifact, data_type, name, options)
            print_json(plan) if as_json else _tell_plan(plan)
            return
        published = client.publish(artifact, for_=data_type, name=name, **options)
        is_followed = published.operation is not None and (_is_served(client, published) if wait is None else wait)
        if not as_json:
            _tell_published(published)
        if not is_followed or published.operation is None:
            if as_json:
                print_json(published)
            return
        _follow(client, published.operation, timeout, as_json)


def _follow(client: Client, operation: str, timeout: float, as_json: bool) -> None:
    try:
        with progress(as_json) as show:
            done = client.wait(operation, timeout, show)
    except OperationFailedError as error:
        if as_json:
            print_json(error.operation)
        elif isinstance(error, ModelRefusedError):
            _tell_refused(client, error.operation)
        else:
            typer.secho(f"{operation} failed: {error}", fg="red", err=True)
            _tell_what_serves(client, error.operation)
        raise SystemExit(EXIT_FAILED) from None
    print_json(done) if as_json else _tell_live(done)


def _is_served(client: Client, published: Published) -> bool:
    """Somebody is there who could serve it: to wait for a worker that nobody has started would be to hang."""
    return published.operation is not None and client.operation(published.operation).total > 0


def _tell_plan(plan: PublicationPlan) -> None:
    where = f" from {plan.source}" if plan.source else f", {size(plan.artifact_bytes)}"
    typer.echo(f"{plan.model} would get version {plan.version} ({plan.type}{where}, sha256 {plan.sha256[:12]}).")
    if plan.mode == "none":
        typer.echo("It would only be registered; nothing would be routed to it.")
    elif plan.replaces is not None:
        typer.echo(
            f"{plan.data_type} would go over to it ({plan.mode}) from {plan.replaces.model} version {plan.replaces.version}."
        )
    else:
        typer.echo(f"{plan.data_type} would go over to it ({plan.mode}); nothing serves it now.")
    typer.echo("Nothing was written.")


def _tell_published(published: Published) -> None:
    version = f"version {published.version}" if published.version else "a new version"
    what = f"{published.model} {version} ({published.type}, {size(published.artifact_bytes)}, sha256 {published.sha256[:12]})"
    if published.operation is None:
        typer.echo(f"{what} is registered at control offset {published.control_offset}; nothing is routed to it.")
        return
    typer.echo(
        f"{what} is published for {published.data_type} at control offset {published.control_offset}; {published.operation}"
    )


def _tell_live(operation: Operation) -> None:
    if operation.mode == "exact":
        tell_done(operation)
        return
    live = [outcome for outcome in operation.workers if outcome.state == "live"]
    since = positions([position for outcome in live for position in outcome.since])
    if not live:
        typer.echo(f"{operation.model} version {operation.version}: {operation.message}")
        return
    typer.secho(
        f"{operation.model} version {operation.version} is live for {operation.data_type} on {len(live)} of "
        f"{operation.total} workers" + (f", since {since}" if since else "") + ".",
        fg="green",
    )


def _tell_refused(client: Client, operation: Operation) -> None:
    refusals = {outcome.reason: outcome.worker for outcome in operation.workers if outcome.state == "refused"}
    what = f"{operation.model} version {operation.version}" if operation.version else operation.model
    for reason, worker in refusals.items():
        typer.secho(f"{what} was refused by {worker}: {reason}", fg="red", err=True)
    if not refusals:
        typer.secho(f"{what} was refused: {operation.message}", fg="red", err=True)
    _tell_what_serves(client, operation)


def _tell_what_serves(client: Client, operation: Operation) -> None:
    route = next((route for route in client.routes() if route.key == operation.data_type), None)
    if route is not None and route.serving is not None:
        typer.echo(f"{route.serving.model} version {route.serving.version} serves {operation.data_type} on.", err=True)
    else:
        typer.echo(f"Nothing serves {operation.data_type}: its records become dead letters.", err=True)
