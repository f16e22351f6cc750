"""What the protobuf runtime says of a batch, a message with every kind of field, and batches that try to mislead.

Shared by the property tests of the decoder and of the encoder and by the mutation tests.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from serving.formats.base import FieldSelection

T = descriptor_pb2.FieldDescriptorProto
OPTIONAL, REPEATED = T.LABEL_OPTIONAL, T.LABEL_REPEATED


def _mixed_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="formats/mixed.proto", package="formats", syntax="proto3")
    color = file.enum_type.add(name="Color")
    for name, number in [("UNKNOWN", 0), ("RED", 1), ("WHITE", 2), ("NEGATIVE", -1)]:
        color.value.add(name=name, number=number)

    inner = file.message_type.add(name="Inner")
    inner.field.add(name="x", number=1, type=T.TYPE_DOUBLE, label=OPTIONAL)
    inner.field.add(name="y", number=2, type=T.TYPE_FLOAT, label=OPTIONAL)
    inner.field.add(name="k", number=3, type=T.TYPE_INT32, label=OPTIONAL)
    inner.field.add(name="s", number=4, type=T.TYPE_STRING, label=OPTIONAL)
    inner.field.add(name="next", number=5, type=T.TYPE_MESSAGE, label=OPTIONAL, type_name=".formats.Inner")
    inner.field.add(name="vec", number=6, type=T.TYPE_SINT64, label=REPEATED)

    mixed = file.message_type.add(name="Mixed")

    def add(
        name: str, number: int, type_: Any, label: Any = OPTIONAL, type_name: str | None = None, **more: Any
    ) -> Any:
        return mixed.field.add(name=name, number=number, type=type_, label=label, type_name=type_name, **more)

    scalars = [
        ("i32", T.TYPE_INT32), ("i64", T.TYPE_INT64), ("u32", T.TYPE_UINT32), ("u64", T.TYPE_UINT64),
        ("s32", T.TYPE_SINT32), ("s64", T.TYPE_SINT64), ("f32", T.TYPE_FIXED32), ("f64", T.TYPE_FIXED64),
        ("sf32", T.TYPE_SFIXED32), ("sf64", T.TYPE_SFIXED64), ("fl", T.TYPE_FLOAT), ("db", T.TYPE_DOUBLE),
        ("b", T.TYPE_BOOL), ("st", T.TYPE_STRING), ("by", T.TYPE_BYTES),
    ]  # fmt: skip
    for number, (name, type_) in enumerate(scalars, start=1):
        add(name, number, type_)
    add("color", 16, T.TYPE_ENUM, type_name=".formats.Color")
    mixed.oneof_decl.add(name="choice")
    mixed.oneof_decl.add(name="_opt")
    mixed.oneof_decl.add(name="_ostr")
    add("opt", 17, T.TYPE_DOUBLE, proto3_optional=True, oneof_index=1)
    add("ostr", 18, T.TYPE_STRING, proto3_optional=True, oneof_index=2)
    add("inner", 19, T.TYPE_MESSAGE, type_name=".formats.Inner")
    add("emb", 20, T.TYPE_FLOAT, REPEATED)
    add("ints", 21, T.TYPE_INT32, REPEATED)
    entry = mixed.nested_type.add(name="MEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=T.TYPE_STRING, label=OPTIONAL)
    entry.field.add(name="value", number=2, type=T.TYPE_DOUBLE, label=OPTIONAL)
    add("m", 22, T.TYPE_MESSAGE, REPEATED, ".formats.Mixed.MEntry")
    add("tags", 23, T.TYPE_STRING, REPEATED)
    add("c_d", 24, T.TYPE_DOUBLE, oneof_index=0)
    add("c_s", 25, T.TYPE_STRING, oneof_index=0)
    add("c_m", 26, T.TYPE_MESSAGE, type_name=".formats.Inner", oneof_index=0)
    add("c_i", 27, T.TYPE_INT64, oneof_index=0)
    add("inners", 28, T.TYPE_MESSAGE, REPEATED, ".formats.Inner")
    unpacked = add("unp", 29, T.TYPE_DOUBLE, REPEATED)
    unpacked.options.packed = False
    add("embd", 30, T.TYPE_DOUBLE, REPEATED)
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_mixed_file())
MIXED = _pool.FindMessageTypeByName("formats.Mixed")
Mixed: Any = message_factory.GetMessageClass(MIXED)
Inner: Any = message_factory.GetMessageClass(_pool.FindMessageTypeByName("formats.Inner"))

ALL_NUMBERS = (
    "i32", "i64", "u32", "u64", "s32", "s64", "f32", "f64", "sf32", "sf64", "fl", "db", "b", "color", "opt",
    "inner.x", "inner.y", "inner.k", "inner.next.y",
)  # fmt: skip
SELECTIONS = (
    FieldSelection(ALL_NUMBERS, ("st", "ostr", "inner.s"), missing="model"),
    FieldSelection(ALL_NUMBERS, ("st", "ostr", "inner.s")),
    FieldSelection(("db", "fl", "i32"), (), "st"),
    FieldSelection(("db", "inner.x"), ("st",), "ostr"),
    FieldSelection(("emb[3]", "db"), ("st",)),
    FieldSelection(("emb[3]", "unp[2]", "ints[2]", "embd[1]"), (), missing="model"),
    FieldSelection(("c_d", "c_i", "c_m.x"), ("c_s",), missing="model"),
    FieldSelection(("c_d", "inner.vec[2]"), ("c_m.s",), "c_s"),
    FieldSelection(("db", "opt", "c_d"), ("st",), missing="model"),
    FieldSelection(("c_m.vec[2]", "opt"), (), "ostr", missing="model"),
)


@dataclass(frozen=True)
class Expected:
    """What the runtime gives, with `None` for a missing text."""

    rows: list[int]
    matrix: list[list[float]]
    texts: list[list[str | None]]
    bad: list[tuple[int, str]]


def by_runtime(values: Sequence[bytes | None], selection: FieldSelection) -> Expected:
    """Decode by the protobuf runtime, as plainly as can be."""
    assert selection.features is not None
    names = [*selection.texts]
    if selection.route_field is not None and selection.route_field not in names:
        names.append(selection.route_field)
    expected = Expected([], [], [[] for _ in names], [])
    for row, value in enumerate(values):
        try:
            message = Mixed.FromString(value)
        except (DecodeError, TypeError):
            expected.bad.append((row, "decode"))
            continue
        numbers: list[float] = []
        words: list[str | None] = []
        is_bad = False
        for name in selection.features:
            got, is_missing = _numbers_at(message, name)
            is_bad |= got is None or (is_missing and selection.missing == "reject")
            numbers += got or []
        for name in names:
            word, is_missing = _at(message, name)
            is_bad |= is_missing and selection.missing == "reject" and name != selection.route_field
            words.append(None if is_missing else word)
        if is_bad:
            expected.bad.append((row, "features"))
            continue
        expected.rows.append(row)
        expected.matrix.append(numbers)
        for column, word in zip(expected.texts, words, strict=True):
            column.append(word)
    return expected


def assert_same(batch: Any, expected: Expected, width: int) -> None:
    """The decoded batch is what the runtime gives: verdicts, bits of numbers (but for which NaN), strings."""
    assert batch.rows.tolist() == expected.rows
    assert [(one.row, one.stage) for one in batch.bad] == expected.bad
    assert batch.matrix.flags.c_contiguous
    assert batch.matrix.shape == (len(expected.rows), width)
    assert _bits(batch.matrix) == _bits(np.array(expected.matrix, np.float64).reshape(-1, width))
    for column, words in zip(batch.texts, expected.texts, strict=True):
        assert column.codes.dtype == np.int64
        assert [None if code < 0 else column.values[code] for code in column.codes.tolist()] == words


def _numbers_at(message: Any, name: str) -> tuple[list[float] | None, bool]:
    path, _, count = name.partition("[")
    value, is_missing = _at(message, path)
    if not count:
        return [math.nan if is_missing else float(value)], is_missing
    length = int(count[:-1])
    if not len(value):
        return [math.nan] * length, True
    return (None, False) if len(value) != length else ([float(each) for each in value], False)


def _at(message: Any, path: str) -> tuple[Any, bool]:
    is_missing = False
    for step in path.split("."):
        field = message.DESCRIPTOR.fields_by_name[step]
        is_missing |= field.has_presence and not message.HasField(step)
        message = getattr(message, step)
    return message, is_missing


def _bits(matrix: np.ndarray) -> bytes:
    return np.where(np.isnan(matrix), np.nan, matrix).tobytes()


# ---- records ----------------------------------------------------------------------------------------------------------

floats = st.floats(width=32)
doubles = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.5, 2.0**53]))
int32s = st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([0, 1, 127, 128, -1]))
int64s = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, -1, 2**53 + 1]))
uint32s = st.integers(0, 2**32 - 1)
uint64s = st.integers(0, 2**64 - 1)
words = st.one_of(st.sampled_from(["", "red", "white", "rosé", "x" * 9]), st.text(max_size=6))
_inners = st.one_of(
    st.builds(Inner, x=doubles, y=floats, k=int32s, s=words, vec=st.lists(int64s, max_size=2)),
    st.builds(lambda x, y: Inner(x=x, next=Inner(y=y)), doubles, floats),
)
_fields: dict[str, st.SearchStrategy[Any]] = {
    "i32": int32s, "i64": int64s, "u32": uint32s, "u64": uint64s, "s32": int32s, "s64": int64s,
    "f32": uint32s, "f64": uint64s, "sf32": int32s, "sf64": int64s, "fl": floats, "db": doubles,
    "b": st.booleans(), "st": words, "by": st.binary(max_size=5),
    "color": st.one_of(st.sampled_from([0, 1, 2, -1]), int32s), "opt": doubles, "ostr": words, "inner": _inners,
    "emb": st.one_of(st.lists(floats, min_size=3, max_size=3), st.lists(floats, max_size=5)),
    "ints": st.lists(int32s, max_size=3), "m": st.dictionaries(words, doubles, max_size=2),
    "tags": st.lists(words, max_size=2), "inners": st.lists(_inners, max_size=2),
    "unp": st.one_of(st.lists(doubles, min_size=2, max_size=2), st.lists(doubles, max_size=3)),
    "embd": st.lists(doubles, max_size=2),
}  # fmt: skip
_choices: dict[str, st.SearchStrategy[Any]] = {"c_d": doubles, "c_s": words, "c_m": _inners, "c_i": int64s}
_UNKNOWN_FIELDS = [
    b"\xa2\x06\x03abc",
    b"\xa1\x06" + b"\xff" * 8,
    b"\xa8\x06\x80\x01",
    b"\xa2\x06\x02\xff\xfe",
    b"\xf3\x06\x08\x01\xf4\x06",  # a group
    b"\xad\x06abcd",
]


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A serialised message with some of the fields."""
    names = draw(st.lists(st.sampled_from(sorted(_fields)), max_size=6, unique=True))
    values = {name: draw(_fields[name]) for name in names}
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(_choices)))
        values[name] = draw(_choices[name])
    data: bytes = Mixed(**values).SerializeToString()
    return data


@st.composite
def batches(draw: st.DrawFn) -> list[bytes | None]:
    """Some messages over and over, most of them with some bytes changed: alike enough for layouts to be tempted."""
    originals = draw(st.lists(messages(), min_size=1, max_size=3))
    rnd = draw(st.randoms(use_true_random=False))
    batch = [_variant(each, originals, rnd) for each in originals for _ in range(draw(st.integers(1, 14)))]
    rnd.shuffle(batch)
    return batch


def _variant(data: bytes, originals: list[bytes], rnd: random.Random) -> bytes | None:
    chance = rnd.random()
    if chance < 0.25:
        return data
    if chance < 0.75:
        return flipped(data, rnd)
    if chance < 0.80:
        return data[: rnd.randint(0, len(data))]
    if chance < 0.86:
        return data + rnd.choice(originals)
    if chance < 0.94:
        return data + rnd.choice(_UNKNOWN_FIELDS)
    if chance < 0.97:
        return rnd.randbytes(rnd.randint(0, 12))
    return None


def flipped(data: bytes, rnd: random.Random) -> bytes:
    """The same length with up to three bytes changed."""
    changed = bytearray(data)
    for _ in range(rnd.randint(0, 3) if data else 0):
        at = rnd.randrange(len(changed))
        changed[at] = rnd.choice([changed[at] ^ 1, changed[at] ^ 0x80, rnd.randrange(256)])
    return bytes(changed)


def large_batch(rnd: random.Random, count: int) -> list[bytes | None]:
    """Records as a producer sends them: three kinds, values that vary, some damaged ones among them."""
    kinds = [
        Mixed(
            db=1.5, fl=2, i32=300, st="red", emb=[1, 2, 3], unp=[1, 2], opt=0.0, c_d=2.0, s64=-5, u64=2**64 - 1,
            inner=Inner(x=1, y=2, k=-3, s="in", vec=[1, -1]), color=1, b=True, tags=["a"], m={"k": 1.0}, ints=[1, 2],
            embd=[4.0],
        ),
        Mixed(db=1.5, st="white", emb=[1, 2, 3], inner=Inner(x=3), ostr="o", c_d=1.0),
        Mixed(c_s="a", unp=[1.0, 2.0], emb=[1, 2, 3], i32=-1),
    ]  # fmt: skip
    batch: list[bytes | None] = []
    for _ in range(count):
        message = rnd.choice(kinds)
        message.db = rnd.choice([0.0, -0.0, rnd.random()])
        message.emb[:] = [rnd.random() for _ in range(3)]
        message.i32 = rnd.choice([-1, rnd.randrange(1 << 30)])
        data = message.SerializeToString()
        chance = rnd.random()
        batch.append(flipped(data, rnd) if chance < 0.05 else data[:-1] if chance < 0.06 else data)
    return batch


def with_missing(selection: FieldSelection, missing: Any) -> FieldSelection:
    """The same fields under the other rule for missing ones."""
    return replace(selection, missing=missing)
