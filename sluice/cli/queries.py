"""`sluice workers` and `stats`: who is there, and how models do."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.deciders import print_deciders
from sluice.cli.output import ago, number, print_columns, print_json
from sluice.client.answers import SeriesStatistics, Statistics, Worker
from sluice.stack.lifecycle import DEFAULT_FOLDER


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
    deciders: Annotated[
        bool, typer.Option("--deciders", help="Of deciders instead, and of their arms; `--for` takes a route's key.")
    ] = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Say how models do: records, errors, rate, scoring time and latency. Times are in milliseconds."""
    if model is not None and (data_type is not None or deciders):
        raise typer.BadParameter(f"give either {'--deciders' if deciders else '--for'} or --model, not both")
    with connected(api, data) as client:
        if deciders:
            decided = client.decider_stats(window, route=data_type)
            if as_json:
                print_json(decided)
            else:
                print_deciders(decided)
            return
        found = client.stats(window, data_type=data_type, model=model)
        if as_json:
            print_json(found)
            return
        _print_statistics(found)


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
