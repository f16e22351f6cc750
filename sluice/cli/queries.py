"""`sluice models`, `routes`, `workers` and `stats`: what there is, and how it does."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.output import ago, number, print_columns, print_json
from sluice.client.answers import ModelVersion, Route, SeriesStatistics, Statistics, Worker
from sluice.stack.lifecycle import DEFAULT_FOLDER


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="List the versions of this model.")] = None,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """List models, or the versions of one, newest first."""
    with connected(api, data) as client:
        if name is not None:
            versions = client.versions(name)
            print_json(versions) if as_json else _print_versions(versions)
            return
        found = client.models()
        if as_json:
            print_json(found)
            return
        rows = [
            (
                model.name,
                model.latest_version,
                model.latest_status,
                model.type,
                ", ".join(model.serving) or "-",
                model.description,
            )
            for model in found
        ]
        print_columns(
            ("model", "latest", "status", "type", "serves", "description"),
            rows,
            "No model is published yet: `sluice publish MODEL --for TYPE` does it.",
        )


def routes(api: ApiOption = None, data: DataOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """Say which version serves which data type, since when, and on how many workers."""
    with connected(api, data) as client:
        found = client.routes()
        if as_json:
            print_json(found)
            return
        headings = ("data type", "model", "version", "type", "since", "workers", "refused")
        print_columns(headings, [_route(route) for route in found], "No model is published for any data type yet.")
        for route in found:
            for error in route.errors:
                typer.echo(f"{route.newest.model} version {route.newest.version} on {error.worker}: {error.reason}")


def workers(
    all_: Annotated[bool, typer.Option("--all", help="Those too that do not live any more.")] = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """List workers, the partitions that they read and the models that they have loaded."""
    with connected(api, data) as client:
        found = [worker for worker in client.workers() if all_ or worker.is_live]
        if as_json:
            print_json(found)
            return
        headings = ("worker", "state", "host", "pid", "started", "partitions", "models")
        print_columns(
            headings,
            [_worker(worker) for worker in found],
            "No worker lives: `sluice up` or `sluice worker` starts one."
            if not all_
            else "No worker was ever started.",
        )
        for worker in found:
            for refused in worker.errors:
                what = f"{refused.model} version {refused.version} for {refused.data_type}"
                typer.echo(f"{worker.id}: {what}: {refused.outcome.state}: {refused.outcome.reason}")


def stats(
    window: Annotated[str | None, typer.Option(metavar="30s|5m|24h", help="How far back; default: since ever.")] = None,
    data_type: Annotated[str | None, typer.Option("--for", metavar="TYPE", help="Only of this data type.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this model.")] = None,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Say how models do: records, errors, rate, scoring time and latency. Times are in milliseconds."""
    if data_type is not None and model is not None:
        raise typer.BadParameter("give either --for or --model, not both")
    with connected(api, data) as client:
        found = client.stats(window, data_type=data_type, model=model)
        if as_json:
            print_json(found)
            return
        _print_statistics(found)


def _print_versions(versions: list[ModelVersion]) -> None:
    rows = [
        (
            version.version,
            version.status + (" (serving)" if version.is_serving else ""),
            version.data_type,
            version.type,
            ago(version.since),
            str(version.control_offset),
            version.engine or "-",
            version.status_message,
        )
        for version in versions
    ]
    print_columns(("version", "status", "for", "type", "published", "offset", "engine", "message"), rows, "No version.")


def _route(route: Route) -> tuple[str, ...]:
    live = [worker for worker in route.workers if worker.is_live]
    refused = f"version {route.newest.version}" if route.serving is None or route.newest != route.serving else "-"
    if route.serving is None:
        return (route.key, "-", "-", "-", "-", "0", refused)
    serving = [w for w in live if (w.model, w.version) == (route.serving.model, route.serving.version)]
    return (
        route.key,
        route.serving.model,
        route.serving.version,
        route.serving.type,
        ago(route.serving.since),
        f"{len(serving)} of {len(live)}" if len(serving) != len(live) else str(len(live)),
        refused,
    )


def _worker(worker: Worker) -> tuple[str, ...]:
    topics: dict[str, list[int]] = {}
    for held in worker.partitions:
        topics.setdefault(held.topic, []).append(held.partition)
    return (
        worker.id,
        "live" if worker.is_live else "gone",
        worker.host or worker.address,
        str(worker.pid or "-"),
        ago(worker.started_at),
        "; ".join(f"{topic} {','.join(map(str, sorted(numbers)))}" for topic, numbers in sorted(topics.items())) or "-",
        ", ".join(f"{each.data_type}: {each.model} {each.version}" for each in worker.models) or "-",
    )


def _print_statistics(found: Statistics) -> None:
    headings = (
        "data type",
        "model",
        "version",
        "records",
        "errors",
        "a second",
        "p50",
        "p99",
        "latency p50",
        "latency p99",
    )
    print_columns(headings, [_series(series) for series in found.series], "Nothing was scored yet.")
    if found.dead_letters:
        typer.echo(
            "dead letters: " + ", ".join(f"{stage} {count:,}" for stage, count in sorted(found.dead_letters.items()))
        )
    if found.partial:
        missing = ", ".join(found.missing_workers)
        typer.echo(f"Not complete: no fresh numbers from {missing}." if missing else "Not complete.", err=True)


def _series(series: SeriesStatistics) -> tuple[str, ...]:
    return (
        series.data_type,
        series.name,
        series.version,
        number(series.usage),
        number(series.errors),
        number(series.rate, 1),
        number(series.p50_ms, 4),
        number(series.p99_ms, 4),
        number(series.latency_p50_ms, 1),
        number(series.latency_p99_ms, 1),
    )
