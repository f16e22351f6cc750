"""What a result says of itself, and whether it is true."""

import pytest
from modelserving.v1.records_pb2 import ScoreResult

from benchmarks.reader import Decoder
from benchmarks.records import data_type_of, data_types, key, message_class, wine_values

TRUE = {
    "model": "wine", "model_version": 1, "sha256": bytes(range(32)), "data_type": "wine", "topic": "in", "partition": 3,
    "offset": 5, "worker": "w", "record_timestamp_ms": 1, "prediction": 4.5,
}  # fmt: skip
NUMBER = 5 * 4 + 3


class Message:
    """As the client hands it out."""

    def __init__(self, key: bytes | None, value: bytes | None) -> None:
        self._key, self._value = key, value

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value


def decoded(value: bytes | None, model: str = "tree", wire: str = "protobuf", number: int = NUMBER):
    return Decoder(model, wire, "in").decode([Message(key(number, 77), value)])


def test_a_true_result_has_no_flaw():
    found = decoded(ScoreResult(**TRUE).SerializeToString())

    assert not found.flawed[0]
    assert (found.index[0], found.sent_us[0], found.answers[0, 0]) == (NUMBER, 77, 4.5)
    assert found.version[0] == int.from_bytes(bytes(range(8)), "big")


@pytest.mark.parametrize(
    "untrue",
    [
        {"offset": 6}, {"partition": 2}, {"topic": "other"}, {"data_type": "beer"}, {"worker": ""}, {"model": ""},
        {"sha256": b"short"}, {"record_timestamp_ms": 0},
    ],
)  # fmt: skip
def test_a_field_that_is_not_so_is_a_flaw(untrue):
    assert decoded(ScoreResult(**{**TRUE, **untrue}).SerializeToString()).flawed[0]


def test_with_several_data_types_each_record_has_the_type_and_the_model_that_are_its():
    types = data_types(4)
    assert types == ("wine", "wine-2", "wine-3", "wine-4")

    def flawed(**said: str) -> bool:
        value = ScoreResult(**{**TRUE, **said}).SerializeToString()
        return bool(Decoder("tree", "protobuf", "in", types).decode([Message(key(NUMBER, 77), value)]).flawed[0])

    assert not flawed(data_type="wine-2", model="wine-2")
    assert flawed(data_type="wine-2", model="wine")
    assert flawed(data_type="wine", model="wine")


def test_records_of_each_partition_have_all_types_in_turn():
    record, types = message_class(), data_types(4)
    found = [record.FromString(value).data_type for value in wine_values(types=types)]

    assert found == [data_type_of(number, types) for number in range(len(found))]
    assert found[3 : 4 * 5 : 4] == ["wine", "wine-2", "wine-3", "wine-4", "wine"]
    with pytest.raises(ValueError, match="3 types"):
        wine_values(types=data_types(3))


@pytest.mark.parametrize("value", [None, b"", b"\xff\xff"])
def test_what_is_no_result_is_a_flaw(value):
    assert decoded(value).flawed[0]


def test_a_result_under_another_key_belongs_to_no_record():
    found = Decoder("tree", "protobuf", "in").decode([Message(b"lost", ScoreResult(**TRUE).SerializeToString())])

    assert found.index[0] == -1
    assert found.flawed[0]


def test_a_relay_is_judged_by_its_bytes():
    values = wine_values()

    assert decoded(values[NUMBER], model="").answers[0, 0] == 1.0
    assert decoded(values[NUMBER + 1], model="").answers[0, 0] == 0.0


def test_an_answer_of_the_inference_protocol_is_read():
    found = decoded(b'{"outputs": [{"data": [4.5]}]}', wire="v2-json")

    assert found.answers[0, 0] == 4.5
    assert not found.flawed[0]
    assert decoded(b"{}", wire="v2-json").flawed[0]
