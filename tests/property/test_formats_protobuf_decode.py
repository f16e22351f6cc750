"""Decoding by layouts gives what the protobuf runtime gives, whatever the bytes are."""

import random

import pytest
from formats_reference import MIXED, SELECTIONS, assert_same, batches, by_runtime, large_batch, messages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.formats.base import FieldSelection
from serving.formats.layout_decoder import Tuning
from serving.formats.protobuf import ProtobufFormat

# Layouts wherever two records have one length, whatever that costs.
EAGER = Tuning(fewest_records=2, layout_us=0.0, walks_per_batch=24.0, rest_batches=0)

LONG_LIVED = [ProtobufFormat(MIXED, selection, tuning=EAGER) for selection in SELECTIONS]


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches(), st.integers(0, len(SELECTIONS) - 1))
def test_every_batch_is_decoded_as_the_runtime_does(values: list[bytes | None], which: int) -> None:
    selection, decoder = SELECTIONS[which], LONG_LIVED[which]

    decoded = decoder.decode(values)

    assert_same(decoded, by_runtime(values, selection), len(decoder.numbers))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(batches(), min_size=2, max_size=4), st.integers(0, len(SELECTIONS) - 1))
def test_what_was_learned_from_earlier_batches_misleads_no_later_one(
    many: list[list[bytes | None]], which: int
) -> None:
    decoder = ProtobufFormat(MIXED, SELECTIONS[which], tuning=EAGER)

    for values in [*many, *many]:
        assert_same(decoder.decode(values), by_runtime(values, SELECTIONS[which]), len(decoder.numbers))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(messages(), st.integers(0, len(SELECTIONS) - 1), st.randoms(use_true_random=False))
def test_any_single_changed_byte_is_judged_as_the_runtime_judges_it(
    data: bytes, which: int, rnd: random.Random
) -> None:
    decoder = ProtobufFormat(MIXED, SELECTIONS[which], tuning=EAGER)
    values = [data] * 3
    for at in range(len(data)):
        other = data[at] ^ rnd.choice([0x01, 0x40, 0x80, 0xFF])
        values.append(data[:at] + bytes([other]) + data[at + 1 :])

    decoded = decoder.decode(values)

    assert_same(decoded, by_runtime(values, SELECTIONS[which]), len(decoder.numbers))


@pytest.mark.parametrize("selection", SELECTIONS)
def test_large_batches_are_decoded_as_the_runtime_does_with_the_tuning_of_production(
    selection: FieldSelection,
) -> None:
    rnd = random.Random(1)
    decoder = ProtobufFormat(MIXED, selection)

    for _ in range(4):
        values = large_batch(rnd, 1500)
        assert_same(decoder.decode(values), by_runtime(values, selection), len(decoder.numbers))
