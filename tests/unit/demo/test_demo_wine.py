"""The demo's records: made from a seed, written as protobuf, read back from the committed files."""

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sluice.demo.wine import (
    ARTIFACTS,
    DESCRIPTOR_SET,
    FEATURES,
    MEASUREMENTS,
    MESSAGE,
    QUALITIES,
    make_wines,
    read_csv,
    to_csv,
)


def test_the_same_seed_gives_the_same_bottles():
    assert to_csv(make_wines(50, seed=7)) == to_csv(make_wines(50, seed=7))
    assert to_csv(make_wines(50, seed=7)) != to_csv(make_wines(50, seed=8))


def test_the_committed_set_is_what_the_script_makes():
    assert (ARTIFACTS / "wine.csv").read_text() == to_csv(make_wines())


def test_the_set_reads_back_as_it_was_written():
    wines = make_wines(200, seed=3)

    again = read_csv(to_csv(wines))

    assert np.array_equal(again.matrix, wines.matrix)
    assert again.data_types.tolist() == wines.data_types.tolist()
    assert again.quality.tolist() == wines.quality.tolist()


def test_every_measurement_is_one_a_laboratory_could_report():
    matrix = make_wines().matrix

    for column, measurement in enumerate(MEASUREMENTS):
        values = matrix[:, column]
        assert measurement.low <= values.min() <= measurement.mean <= values.max() <= measurement.high
        assert np.array_equal(values, np.round(values, measurement.digits))


def test_measurements_are_correlated_the_way_wines_are():
    columns = dict(zip(FEATURES, make_wines().matrix.T, strict=True))

    def correlation(one, other):
        return np.corrcoef(columns[one], columns[other])[0, 1]

    assert correlation("alcohol", "density") < -0.5
    assert correlation("fixed_acidity", "ph") < -0.5
    assert correlation("free_sulfur_dioxide", "total_sulfur_dioxide") > 0.5


def test_the_middle_qualities_are_the_most_frequent_and_none_is_missing():
    wines = make_wines()
    counts = [int((wines.quality == quality).sum()) for quality in QUALITIES]

    assert min(counts) > 0
    assert sum(counts) == len(wines)
    assert counts.index(max(counts)) in (2, 3)


def test_the_descriptor_set_holds_the_features_in_the_order_of_the_set():
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes()).file:
        pool.Add(file)
    record_class = message_factory.GetMessageClass(pool.FindMessageTypeByName(MESSAGE))

    assert [field.name for field in record_class.DESCRIPTOR.fields] == [*FEATURES, "data_type"]


def test_the_artifacts_are_small_enough_to_ship():
    assert sum(path.stat().st_size for path in ARTIFACTS.iterdir()) < 1_500_000
