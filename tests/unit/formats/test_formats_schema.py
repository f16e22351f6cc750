"""Finding a message and its fields: what is found, and what a stranger is told otherwise."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from serving.core.errors import SettingsError
from serving.formats import open_format, open_result_format
from serving.formats.base import FieldSelection
from serving.formats.fields import FieldPath, parse_field
from serving.formats.protobuf import ProtobufFormat
from serving.formats.protobuf_schema import is_proto3_throughout, message_in_descriptor_set, numeric_fields, text_fields

T = descriptor_pb2.FieldDescriptorProto


def wine_files() -> descriptor_pb2.FileDescriptorSet:
    """`shop.Wine`, which holds a `shop.Origin` of another file."""
    files = descriptor_pb2.FileDescriptorSet()
    origin = files.file.add(name="origin.proto", package="shop", syntax="proto3")
    message = origin.message_type.add(name="Origin")
    message.field.add(name="altitude", number=1, type=T.TYPE_DOUBLE, label=1)
    wine = files.file.add(name="wine.proto", package="shop", syntax="proto3", dependency=["origin.proto"])
    message = wine.message_type.add(name="Wine")
    message.field.add(name="alcohol", number=2, type=T.TYPE_DOUBLE, label=1)
    message.field.add(name="organic", number=1, type=T.TYPE_BOOL, label=1)
    message.field.add(name="colour", number=3, type=T.TYPE_STRING, label=1)
    message.field.add(name="origin", number=4, type=T.TYPE_MESSAGE, label=1, type_name=".shop.Origin")
    message.field.add(name="embedding", number=5, type=T.TYPE_FLOAT, label=3)
    message.nested_type.add(name="Bottle")
    return files


@pytest.fixture
def descriptor_set(tmp_path: Path) -> str:
    path = tmp_path / "wine.desc"
    path.write_bytes(wine_files().SerializeToString())
    return str(path)


def open_wine(descriptor_set: str, **selection: object) -> ProtobufFormat:
    options = {"type": "protobuf", "message": "shop.Wine", "descriptor_set": descriptor_set, "module": None}
    opened = open_format(options, FieldSelection(**selection))  # type: ignore[arg-type]  # each test says what it needs
    assert isinstance(opened, ProtobufFormat)
    return opened


def test_all_single_numeric_fields_are_the_features_in_field_order_unless_some_are_named(descriptor_set: str) -> None:
    wine = open_wine(descriptor_set, route_field="colour")

    assert wine.numbers == ("organic", "alcohol")
    assert wine.texts == ("colour",)


def test_fields_of_a_message_are_listed_by_kind(descriptor_set: str) -> None:
    message = message_in_descriptor_set(Path(descriptor_set), "shop.Wine")

    assert numeric_fields(message) == ("organic", "alcohol")
    assert text_fields(message) == ("colour",)
    assert is_proto3_throughout(message)


def test_a_nested_message_can_be_the_record(descriptor_set: str) -> None:
    assert message_in_descriptor_set(Path(descriptor_set), "shop.Wine.Bottle").name == "Bottle"


def test_a_repeated_field_fills_a_column_a_value(descriptor_set: str) -> None:
    wine = open_wine(descriptor_set, features=("origin.altitude", "embedding[3]"))

    assert wine.numbers == ("origin.altitude", "embedding[0]", "embedding[1]", "embedding[2]")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (("alcohl",), r"shop.Wine has no field `alcohl`; did you mean `alcohol`\?"),
        (("origin.height",), "shop.Origin has no field `height`; there are `altitude`"),
        (("colour",), "`colour` of shop.Wine is a string, not a number"),
        (("origin",), "`origin` of shop.Wine is a message, not a number"),
        (("embedding",), r"is repeated: say how many values, as in `embedding\[64\]`"),
        (("alcohol[2]",), r"is not repeated: leave out `\[2\]`"),
        (("alcohol.x",), "`alcohol` is not a message"),
        (("alcohol", "alcohol"), "`alcohol` is selected twice"),
        (("a..b",), "is not a field name"),
        (("emb[0]",), "is not a field name"),
    ],
)
def test_a_feature_that_cannot_be_had_is_named_with_the_reason(
    descriptor_set: str, features: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        open_wine(descriptor_set, features=features)


def test_a_text_field_must_be_a_single_string(descriptor_set: str) -> None:
    with pytest.raises(SettingsError, match=r"`alcohol` of shop\.Wine is not a single string"):
        open_wine(descriptor_set, route_field="alcohol")


def test_a_message_that_is_not_there_is_answered_with_those_that_are(descriptor_set: str) -> None:
    with pytest.raises(
        SettingsError, match=r"has no message `Beer`; there are `shop.Origin`, `shop.Wine`, `shop.Wine.Bottle`"
    ):
        message_in_descriptor_set(Path(descriptor_set), "Beer")


def test_a_message_without_its_package_is_answered_with_the_near_name(descriptor_set: str) -> None:
    with pytest.raises(SettingsError, match=r"no message `Wine`; did you mean `shop.Wine`"):
        message_in_descriptor_set(Path(descriptor_set), "Wine")


def test_a_descriptor_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent.desc cannot be read: No such file"):
        message_in_descriptor_set(tmp_path / "absent.desc", "shop.Wine")


def test_a_file_that_is_no_descriptor_set_says_how_to_write_one(tmp_path: Path) -> None:
    path = tmp_path / "wine.proto"
    path.write_text('syntax = "proto3";')

    with pytest.raises(SettingsError, match=r"is not a descriptor set; write one with `protoc --include_imports"):
        message_in_descriptor_set(path, "shop.Wine")


def test_a_descriptor_set_without_its_imports_says_what_is_lacking(tmp_path: Path) -> None:
    files = wine_files()
    del files.file[0]
    path = tmp_path / "wine.desc"
    path.write_bytes(files.SerializeToString())

    with pytest.raises(SettingsError, match=r"is not complete.*origin.proto.*--include_imports"):
        message_in_descriptor_set(path, "shop.Wine")


def test_files_may_come_in_any_order(tmp_path: Path) -> None:
    files = descriptor_pb2.FileDescriptorSet(file=reversed(wine_files().file))
    path = tmp_path / "wine.desc"
    path.write_bytes(files.SerializeToString())

    assert message_in_descriptor_set(path, "shop.Wine").full_name == "shop.Wine"


def test_an_importable_module_serves_as_well() -> None:
    options = {"type": "protobuf", "module": "modelserving.v1.records_pb2", "message": "modelserving.v1.ScoreResult"}

    opened = open_format(options, FieldSelection(("prediction",), route_field="data_type"))

    assert opened.numbers == ("prediction",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "avro"}, "`avro` is not a record format; there are `protobuf`, `json`"),
        ({"type": "protobuf", "module": "a.b"}, "needs `message`"),
        ({"type": "protobuf", "message": "a.B"}, "needs either `descriptor_set`"),
        ({"type": "protobuf", "message": "a.B", "module": "a", "descriptor_set": "b"}, "needs either `descriptor_set`"),
        ({"type": "protobuf", "message": "a.B", "module": "no_such_module"}, "`no_such_module` cannot be imported"),
        ({"type": "protobuf", "message": "a.B", "module": "json"}, "is not generated by protoc"),
        ({"type": "json", "message": "a.B"}, "the json format has no option `message`"),
        ({"type": "json"}, "name the `features`"),
        ({}, "`` is not a record format"),
    ],
)
def test_options_that_make_no_format_are_refused_with_the_reason(options: dict[str, str | None], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        open_format(options, FieldSelection())


def test_a_message_without_numbers_needs_features_by_name(descriptor_set: str) -> None:
    options = {"type": "protobuf", "message": "shop.Wine.Bottle", "descriptor_set": descriptor_set}

    with pytest.raises(SettingsError, match=r"shop.Wine.Bottle has no numeric fields"):
        open_format(options, FieldSelection())


def test_a_result_format_that_is_not_known_is_answered_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match="`csv` is not a result format; there are `protobuf`, `json`"):
        open_result_format("csv")


def test_field_names_are_dotted_paths_with_a_length() -> None:
    assert parse_field("a.b[64]") == FieldPath("a.b", ("a", "b"), 64)


def test_proto2_records_are_decoded_too_though_never_by_layouts() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="old.proto", package="old", syntax="proto2")
    message = file.message_type.add(name="Record")
    message.field.add(name="x", number=1, type=T.TYPE_DOUBLE, label=T.LABEL_REQUIRED)
    message.field.add(name="y", number=2, type=T.TYPE_DOUBLE, label=T.LABEL_OPTIONAL, default_value="7")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("old.Record")
    record_class = message_factory.GetMessageClass(descriptor)
    values = [record_class(x=1.0, y=2.0).SerializeToString(), b"", record_class(x=3.0).SerializeToString()] * 40

    decoded = ProtobufFormat(descriptor, FieldSelection()).decode(values)

    assert not is_proto3_throughout(descriptor)
    assert decoded.matrix.tolist() == [[1.0, 2.0]] * 40
    assert [one.stage for one in decoded.bad] == ["features", "features"] * 40
