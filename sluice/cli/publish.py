"""`sluice publish`: all a data scientist needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli import EXIT_FAILED
from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.output import number, print_json, size
from sluice.client import Client, ModelRefusedError
from sluice.client.answers import Operation, Outcome, Position, Published
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
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every live worker serves it, or refuses it.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Longest wait.")] = 60.0,
    description: Annotated[str, typer.Option(help="A sentence for people.")] = "",
    publisher: Annotated[str, typer.Option(envvar="SLUICE_PUBLISHER", help="Who publishes it.")] = "",
    sha256: Annotated[str | None, typer.Option(help="Digest of what is at a URL, hexadecimal.")] = None,
    signature: Annotated[str, typer.Option(help="SavedModel signature to serve.")] = "",
    feature: Annotated[
        list[str] | None,
        typer.Option(metavar="FEATURE=FIELD", help="Record field of a model's feature; repeat it, in order."),
    ] = None,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Publish a model: from now on it is the model of a data type. The stream does not stop for it."""
    options: PublishOptions = {
        "type": type_,
        "description": description,
        "publisher": publisher,
        "signature_name": signature,
        "feature_mapping": _mapping(feature or []),
    }
    is_url = "://" in model
    if is_url:
        options |= {"source": model, "sha256": sha256}
    with connected(api, data) as client:
        published = client.publish(None if is_url else Path(model), for_=data_type, name=name, **options)
        if not wait:
            print_json(published) if as_json else _tell_published(published)
            return
        if not as_json:
            _tell_published(published)
        try:
            done = client.wait(published.operation, timeout, None if as_json else _Progress())
        except ModelRefusedError as error:
            print_json(error.operation) if as_json else _tell_refused(client, error.operation)
            raise SystemExit(EXIT_FAILED) from None
        print_json(done) if as_json else _tell_live(done)


class _Progress:
    """Prints a line for each worker, when it has said what became of the model."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, operation: Operation) -> None:
        if operation.total == 0:
            typer.echo("No worker is running: it becomes live when one starts (`sluice up`, `sluice worker`).")
        for outcome in operation.workers:
            if outcome.worker not in self._told and outcome.state not in ("pending", "retrying"):
                self._told.add(outcome.worker)
                typer.echo(f"  {outcome.worker}: {_outcome(outcome)}")


def _mapping(pairs: list[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    for feature, equals, field in split:
        if not (feature and equals and field):
            raise typer.BadParameter(
                f"expected FEATURE=FIELD, found {feature + equals + field!r}", param_hint="--feature"
            )
    return {feature: field for feature, _, field in split}


def _tell_published(published: Published) -> None:
    version = f"version {published.version}" if published.version else "a new version"
    typer.echo(
        f"{published.model} {version} ({published.type}, {size(published.artifact_bytes)}, sha256 {published.sha256[:12]}) "
        f"is published for {published.data_type} at control offset {published.control_offset}; {published.operation}"
    )


def _tell_live(operation: Operation) -> None:
    live = [outcome for outcome in operation.workers if outcome.state == "live"]
    since = _positions([position for outcome in live for position in outcome.since])
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
    route = next((route for route in client.routes() if route.key == operation.data_type), None)
    if route is not None and route.serving is not None:
        typer.echo(f"{route.serving.model} version {route.serving.version} serves {operation.data_type} on.", err=True)
    else:
        typer.echo(f"Nothing serves {operation.data_type}: its records become dead letters.", err=True)


def _outcome(outcome: Outcome) -> str:
    match outcome.state:
        case "live":
            since = _positions(outcome.since)
            took = f"loaded in {number(outcome.load_ms, 0)} ms, scoring paused {number(outcome.swap_ms, 2)} ms"
            return f"live{f' since {since}' if since else ''} ({took})"
        case "refused":
            return f"refused: {outcome.reason}"
        case "elsewhere":
            return "not loaded here: another worker has this data type"
        case "superseded":
            return "not loaded: a newer version was published"
        case _:
            return outcome.state


def _positions(positions: list[Position] | tuple[Position, ...]) -> str:
    """`wine.records 0@120, 1@98`: topic, then partition@offset."""
    topics = sorted({position.topic for position in positions})
    return "; ".join(
        f"{topic} " + ", ".join(f"{p.partition}@{p.offset}" for p in sorted(positions, key=_place) if p.topic == topic)
        for topic in topics
    )


def _place(position: Position) -> tuple[str, int]:
    return position.topic, position.partition
