"""Replay beside a real worker: back-tests against what was live, and corrections of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from deployment import GRAPH, LINEAR, REPOSITORY, TREE, Deployment, wine_values
from modelserving.v1.control_pb2 import ModelReport
from modelserving.v1.records_pb2 import ScoreResult
from patience import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def start_replay(deployment: Deployment, job: dict[str, Any]) -> subprocess.Popen[str]:
    """`python -m serving.replay`, its lines on `stdout`."""
    path = deployment.folder / f"{job['id']}.json"
    path.write_text(json.dumps({"stream": "wine", "ranges": {"from_ms": 0, "to_ms": 2**52}, **job}))
    command = ["-m", "serving.replay", "--config", str(deployment.write_settings()), "--job", str(path)]
    with (deployment.folder / f"{job['id']}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *command], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=log, text=True
        )


def replay(deployment: Deployment, **job: Any) -> dict[str, Any]:
    """Run a job to its end; its report."""
    job.setdefault("records_per_second", 100_000)
    process = start_replay(deployment, job)
    out, _ = process.communicate(timeout=120)
    log = (deployment.folder / f"{job['id']}.log").read_text()
    assert process.returncode == 0, f"{out}\n{log[-3000:]}"
    report = json.loads(out.splitlines()[-1])
    assert report["event"] == "report"
    return dict(report)


def version(number: int, control_offset: int, model: str = "wine") -> dict[str, Any]:
    return {"model": model, "version": number, "control_offset": control_offset}


@pytest.mark.parametrize(("model", "results"), [(GRAPH, "protobuf"), (TREE, "json")], ids=["tensorflow", "pmml-json"])
def test_the_version_that_was_live_gives_the_live_results_bit_for_bit(
    deployment: Deployment, model: Path, results: str
) -> None:
    deployment.stream = {"results": {"topic": deployment.results, "format": results}}
    at = deployment.publish(model)
    values = wine_values() * 3
    deployment.start_worker()
    deployment.wait_for_report(at, ModelReport.STATE_LIVE)
    deployment.send([*values, b"\xff not a record"])
    deployment.read(deployment.results, len(values))
    deployment.read(deployment.dead_letters, 1, partitions=1)

    report = replay(deployment, kind="backtest", id="same", candidate=version(1, at), segment_by="alcohol")

    assert report["identical"] == report["paired"] == report["records"] == len(values)
    assert report["disagreement"]["records"] == 0
    assert report["deltas"]["not_finite"] == 0
    assert report["deltas"]["min"] == report["deltas"]["max"] == 0.0
    assert report["baseline_versions"] == {"wine v1": len(values)}
    assert report["not_decoded"]["decode"]["records"] == 1
    assert sum(part["records"] for part in report["segments"].values()) == len(values)
    assert len(report["segments"]) == 4
    assert report["latency_seconds"]["p50"] > 0


def test_a_correction_that_is_killed_and_run_again_corrects_each_affected_record_once(deployment: Deployment) -> None:
    good = deployment.publish(TREE)
    deployment.start_worker()
    deployment.wait_for_report(good, ModelReport.STATE_LIVE)
    values = wine_values() * 5
    deployment.send(values)
    deployment.read(deployment.results, len(values))
    bad = deployment.publish(LINEAR)
    deployment.wait_for_report(bad, ModelReport.STATE_LIVE)
    deployment.send(values)
    live = deployment.read_results(2 * len(values))
    again = deployment.publish(TREE)
    deployment.wait_for_report(again, ModelReport.STATE_LIVE)
    job = {
        "kind": "correction",
        "id": "undo-2",
        "bad": {"model": "wine", "version": 2},
        "good": version(1, good),
        "records_per_second": 2_000,
    }

    first = start_replay(deployment, job)
    try:
        until(lambda: sum(deployment.end_offsets(deployment.results)) > 2 * len(values) + 500, 60, "it corrects")
    finally:
        first.kill()
        first.communicate()
    second = replay(deployment, **{**job, "records_per_second": 100_000})

    assert second["affected"] == len(values)
    assert 0 < second["corrected"] < len(values)
    assert second["corrected"] + second["corrected_before"] == len(values)
    found = deployment.read(deployment.results, 3 * len(values))
    assert len(found) == 3 * len(values)
    results = [ScoreResult.FromString(record.value()) for record in found]
    corrections = [result for result in results if result.HasField("supersedes")]
    assert len(corrections) == len(values)
    expected = {(r.partition, r.offset) for r in live if r.model_version == 2}
    assert Counter((r.partition, r.offset) for r in corrections) == Counter(expected)
    assert {(r.model_version, r.control_offset, r.reason) for r in corrections} == {
        (1, good, ScoreResult.REASON_CORRECTED)
    }
    superseded = {
        (s.correction, s.model, s.model_version, s.control_offset) for s in (r.supersedes for r in corrections)
    }
    assert superseded == {("undo-2", "wine", 2, bad)}
    by_value = {(r.partition, r.offset): r.prediction for r in live if r.model_version == 1}
    rows = len(values) // deployment.partitions
    assert all(r.prediction == by_value[r.partition, r.offset - rows] for r in corrections)
    keys = {
        (r.partition, r.offset): record.key() for r, record in zip(results, found, strict=True) if r.model_version == 2
    }
    for result, record in zip(results, found, strict=True):
        if result.HasField("supersedes"):
            assert record.key() == keys[result.partition, result.offset]
