"""A worker that starts from a snapshot of the control log serves what one serves that read all of it."""

from deployment import GRAPH, wine_values
from modelserving.v1.control_pb2 import ModelReport

from model_store.core.catalogue import EMPTY, LogEntry, fold
from model_store.core.snapshots import SCHEMA, encode_snapshot
from model_store.core.wire import decode_record, encode_worker_record
from model_store.snapshot_pointer import SnapshotPlace, publish_snapshot


def test_a_worker_that_starts_from_a_snapshot_serves_what_the_log_before_it_says(deployment):
    first = deployment.publish(GRAPH)
    deployment.start_worker().stop()
    catalogue = folded(deployment)
    record = encode_worker_record(encode_snapshot(catalogue))
    offset = deployment.send_control(record.value, record.key, record.headers)
    assert publish_snapshot(deployment.bootstrap, {}, deployment.control, SnapshotPlace(offset, SCHEMA))

    worker = deployment.start_worker()
    deployment.wait_for_report(first, ModelReport.STATE_LIVE, workers=2)
    deployment.send(wine_values()[:40])

    assert {(row.model_version, row.control_offset) for row in deployment.read_results(40)} == {(1, first)}
    assert f'"state_of": {catalogue.offset}' in worker.log.read_text()


def folded(deployment):
    catalogue = EMPTY
    count = deployment.end_offsets(deployment.control, 1)[0]
    for message in deployment.read(deployment.control, count, partitions=1):
        record = decode_record(message.headers(), message.key(), message.value())
        catalogue = fold(catalogue, LogEntry(message.offset(), message.timestamp()[1], record))
    return catalogue
