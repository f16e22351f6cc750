"""One worker, one stream: records in, results out, and what became of those that could not be scored."""

import hashlib

import numpy as np
import pytest
from deployment import GRAPH, LINEAR, SAVED, TREE, wine_record, wine_values
from modelserving.v1.control_pb2 import ModelReport
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult
from patience import until

from sluice.demo.wine import ARTIFACTS

EXPECTED = np.load(ARTIFACTS / "expected.npz")
ROWS = 300


def by_record(results):
    return {(row.partition, row.offset): row for row in results}


@pytest.mark.parametrize(
    ("model", "field", "tolerance"),
    [
        (GRAPH, "scores", 1e-6),
        (SAVED, "prediction", 1e-5),
        (LINEAR, "prediction", 1e-9),
        (TREE, "prediction", 1e-12),
    ],
    ids=["frozen graph", "saved model", "linear", "tree"],
)
def test_every_record_gets_the_references_prediction_and_its_provenance(deployment, model, field, tolerance):
    offset = deployment.publish(model)
    worker = deployment.start_worker(worker_id="w1")
    deployment.send(wine_values()[:ROWS])

    results = deployment.read_results(ROWS)

    rows = by_record(results)
    assert len(rows) == ROWS
    found = [getattr(rows[i % 4, i // 4], field) for i in range(ROWS)]
    np.testing.assert_allclose(np.array(found), EXPECTED[model.stem][:ROWS], atol=tolerance, rtol=0)
    one = results[0]
    assert (one.model, one.model_version, one.data_type) == ("wine", 1, "wine")
    assert one.sha256 == hashlib.sha256(model.read_bytes()).digest()
    assert (one.topic, one.control_offset, one.worker) == (deployment.source, offset, "w1")
    assert one.record_timestamp_ms > 1_600_000_000_000
    assert worker.stop() == 0


def test_a_result_has_the_key_of_its_record(deployment):
    deployment.publish(LINEAR)
    deployment.start_worker()
    deployment.send(wine_values()[:20])

    records = deployment.read(deployment.results, 20)

    for record in records:
        result = ScoreResult.FromString(record.value())
        assert record.key() == f"k{result.offset * 4 + result.partition}".encode()


def test_each_kind_of_poison_is_a_dead_letter_and_its_neighbours_are_scored(deployment):
    deployment.publish(GRAPH)
    deployment.start_worker()
    good = wine_values()[:200]
    nameless = wine_record()(alcohol=1.0).SerializeToString()
    unknown = wine_record()(alcohol=1.0, data_type="beer").SerializeToString()
    poison = {10: b"\xff\xff\xff", 50: good[0][:-3], 90: nameless, 130: unknown, 170: None}
    values = [poison.get(i, value) for i, value in enumerate(good)]

    deployment.send(values, headers=[("traceparent", b"00-1-2-3"), ("empty", None)])

    assert len(by_record(deployment.read_results(195))) == 195
    letters = {letter.offset * 4 + letter.partition: letter for letter in deployment.read_dead_letters(5)}
    assert set(letters) == set(poison)
    stages = {i: DeadLetter.Stage.Name(letter.stage) for i, letter in letters.items()}
    assert stages == {
        10: "STAGE_DECODE",
        50: "STAGE_DECODE",
        90: "STAGE_ROUTE",
        130: "STAGE_ROUTE",
        170: "STAGE_DECODE",
    }
    assert letters[10].value == b"\xff\xff\xff"
    assert letters[10].key == b"k10"
    assert [(header.key, header.HasField("value")) for header in letters[10].headers] == [
        ("traceparent", True),
        ("empty", False),
    ]
    assert not letters[170].HasField("value")
    assert "beer" in letters[130].reason
    assert letters[130].data_type == "beer"
    assert letters[90].stream == "wine"


def test_records_without_any_model_are_dead_letters(deployment):
    deployment.start_worker()
    deployment.send(wine_values()[:8])

    letters = deployment.read_dead_letters(8)

    assert {letter.reason for letter in letters} == {"no model serves data type 'wine'"}


def test_an_infinity_that_the_graph_makes_nan_stays_nan(deployment):
    deployment.publish(GRAPH)
    deployment.start_worker()
    infinite = wine_record()(alcohol=float("inf"), data_type="wine").SerializeToString()
    deployment.send([infinite, *wine_values()[:3]])

    rows = by_record(deployment.read_results(4))

    assert all(np.isnan(score) for score in rows[0, 0].scores)
    assert all(0 <= score <= 1 for score in rows[1, 0].scores)


def test_a_record_for_which_a_document_gives_no_value_is_a_dead_letter(deployment):
    deployment.publish(LINEAR)
    deployment.start_worker()
    missing = wine_record()(alcohol=float("nan"), data_type="wine").SerializeToString()
    deployment.send([missing, *wine_values()[:3]])

    assert set(by_record(deployment.read_results(3))) == {(1, 0), (2, 0), (3, 0)}
    letter = deployment.read_dead_letters(1)[0]
    assert (letter.stage, letter.model, letter.model_version) == (DeadLetter.STAGE_SCORE, "wine", 1)


def test_a_stream_without_results_for_a_while_still_serves_after_a_model_comes(deployment):
    deployment.start_worker()
    offset = deployment.publish(LINEAR)
    deployment.wait_for_report(offset, ModelReport.STATE_LIVE)
    deployment.send(wine_values()[:8])

    assert len(deployment.read_results(8)) == 8


def test_cloudevents_headers_name_the_record(deployment):
    deployment.stream["results"] = {"topic": deployment.results, "headers": "cloudevents"}
    deployment.publish(LINEAR)
    deployment.start_worker()
    deployment.send(wine_values()[:4])

    record = deployment.read(deployment.results, 4)[0]

    headers = dict(record.headers())
    result = ScoreResult.FromString(record.value())
    assert headers["ce_id"] == f"{deployment.source}/{result.partition}/{result.offset}".encode()
    assert headers["ce_specversion"] == b"1.0"


def test_the_records_own_headers_can_pass_through(deployment):
    deployment.stream["results"] = {"topic": deployment.results, "headers": "passthrough"}
    deployment.publish(LINEAR)
    deployment.start_worker()
    deployment.send(wine_values()[:4], headers=[("traceparent", b"00-abc")])

    assert deployment.read(deployment.results, 4)[0].headers() == [("traceparent", b"00-abc")]


def test_json_records_are_scored_into_json_results(deployment):
    import json

    from sluice.demo.wine import FEATURES, make_wines

    rows = make_wines().matrix[:8]
    deployment.stream |= {
        "format": {"type": "json"},
        "features": list(FEATURES),
        "route": {"record_key": True},
        "results": {"topic": deployment.results, "format": "json"},
    }
    deployment.publish(LINEAR)
    deployment.start_worker()
    good = [json.dumps(dict(zip(FEATURES, row.tolist(), strict=True))).encode() for row in rows]
    missing = json.dumps({"alcohol": 1.0}).encode()
    wrong = good[0].replace(b'"alcohol": ', b'"alcohol": "x", "was": ')
    deployment.send([*good, missing, wrong, b"{"], key=b"wine")

    results = [json.loads(record.value()) for record in deployment.read(deployment.results, 8)]

    found = {(row["partition"], row["offset"]): row["prediction"] for row in results}
    np.testing.assert_allclose([found[i % 4, i // 4] for i in range(8)], EXPECTED["wine_linear"][:8], atol=1e-9)
    letters = {letter.offset * 4 + letter.partition: letter for letter in deployment.read_dead_letters(3)}
    assert letters[8].stage == DeadLetter.STAGE_FEATURES
    assert "fixed_acidity" in letters[8].reason
    assert "alcohol" in letters[9].reason
    assert letters[10].stage == DeadLetter.STAGE_DECODE


def test_a_result_that_its_topic_does_not_take_is_a_dead_letter(deployment, kafka):
    deployment.results = kafka.create_topic(4, {"max.message.bytes": "450"})
    deployment.publish(LINEAR)
    deployment.start_worker()
    deployment.send(wine_values()[:4])
    deployment.send(wine_values()[4:8], key=b"k" * 400)

    assert len(deployment.read_results(4)) == 4
    letters = deployment.read_dead_letters(4)
    assert {letter.stage for letter in letters} == {DeadLetter.STAGE_RESULT}
    assert "larger than topic" in letters[0].reason


def test_metrics_tell_what_was_scored(deployment):
    deployment.publish(LINEAR)
    worker = deployment.start_worker()
    deployment.send([*wine_values()[:40], b"\xff"])
    deployment.read_results(40)
    until(lambda: "decode" in worker.metrics(), 10, "a dead letter is counted")

    text = worker.metrics()

    assert 'data_type="wine"' in text
    assert 'version="1"' in text
