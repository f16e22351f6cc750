"""The checks of the codecs find bugs: each deliberate one below is found by at least one of them.

A mutant is a copy of `serving.formats` imported with one line of one module changed. The equality with the protobuf
runtime is only worth something if it fails for every mutant.
"""

import importlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from formats_reference import (
    MIXED,
    SELECTIONS,
    Inner,
    Mixed,
    assert_same,
    batches,
    by_runtime,
    flipped,
    large_batch,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import serving
from serving.core.columns import TextColumn
from serving.formats.message_encoder import Variants

PACKAGE = Path(serving.__file__ or "").parent / "formats"

DECODER_MUTANTS = {
    "the layout is not compared": ("layouts", "equal = steering == self._expected", "equal = steering == steering"),
    "strides of a run may differ": ("layouts", "(self.count > 1 and stride != self.stride)", "False"),
    "types of a run may differ": ("layouts", "slot.dtype != self.dtype or ", ""),
    "runs may skip columns": ("layouts", "or not adjoins ", ""),
    "a missing text is an empty one": ("layouts", "MISSING if is_missing else EMPTY", "EMPTY"),
    "ASCII is not checked": ("protobuf_walk", 'self.mask[at:end] = b"\\x80" * (end - at)', "pass"),
    "other text may change": (
        "protobuf_walk",
        "raise NoLayoutError from error\n            self._steers(at, end)",
        "raise NoLayoutError from error\n            pass",
    ),
    "a oneof keeps all its members": ("protobuf_walk", "self.clear(rival, wanted)", "pass"),
    "a oneof keeps what was in a message": (
        "protobuf_walk",
        "leaves.extend(wanted.inside[number].all_leaves())",
        "pass",
    ),
    "continuation bits are not checked": ("protobuf_walk", 'self.mask[at:after] = b"\\x80" * (after - at)', "pass"),
    "length prefixes may change": ("protobuf_walk", "self._steers(at, body)", "pass"),
    "tags may change": ("protobuf_walk", "self._steers(at, after)", "pass"),
    "a message that is there has no defaults": ("protobuf_walk", "self.enter(inside)", "pass"),
    "a message that comes twice is not merged": ("protobuf_walk", "self.numbers[leaf.column] or Constant", "Constant"),
    "the wire type is not checked": ("protobuf_walk", "not _accepts(known, wire_type)", "False"),
    "missing fields are let through": (
        "protobuf_walk",
        "raise NoLayoutError\n    return Constant",
        "pass\n    return Constant",
    ),
    "values may end after their message": (
        "protobuf_walk",
        " or after > end:\n            raise",
        ":\n            raise",
    ),
    "the length of a vector is not checked": ("protobuf_walk", "if len(slots) != leaf.count:", "if False:"),
    "packed values are not found": ("protobuf_walk", "self._packed(at, end, known, leaf)", "pass"),
    "groups are skipped": (
        "protobuf_walk",
        "if wire_type != _DELIMITED:\n            raise NoLayoutError",
        "if wire_type != _DELIMITED:\n            return at",
    ),
    "zigzag is not undone": (
        "varints",
        "(raw >> np.uint64(1)).view(np.int64) ^ -(raw",
        "(raw >> np.uint64(1)).view(np.int64) ^ (raw",
    ),
    "32-bit integers are not cut off": ("varints", "low = raw.astype(np.uint32)", "low = raw.astype(np.int64)"),
    "a bool is one bit": ("varints", "np.not_equal(raw, 0)", "np.equal(raw, 1)"),
    "texts of other rows are mixed up": ("dictionaries", "codes[left[same]] = len(values)", "codes[left[same]] = 0"),
    "only eight bytes of a text are compared": (
        "dictionaries",
        "(keys == keys[row]).all(1)",
        "keys[:, 0] == keys[row, 0]",
    ),
    "codes of several parts are not renumbered": (
        "dictionaries",
        "codes[rows] = renumbered[coded.codes]",
        "codes[rows] = coded.codes",
    ),
    "rows of a rest are not those of the batch": ("layout_decoder", "self.rows[chosen]", "np.flatnonzero(chosen)"),
    "rows for the exact parser are not sorted": (
        "layout_decoder",
        "np.sort(np.concatenate(left))",
        "np.concatenate(left)",
    ),
    "records without a row are kept": ("layout_decoder", "if not bad:", "if True:"),
    "tombstones shift the rows": ("layout_decoder", "present[inner.rows], bad)", "inner.rows, bad)"),
}

ENCODER_MUTANTS = {
    "-0.0 is a default": ("pieces", "is_set = payload.any(1)", "is_set = np.asarray(column != 0)"),
    "a number with presence that is 0 is not written": (
        "pieces",
        "if field.has_presence:\n        return Piece((field.tag,), payload)",
        "if False:\n        return",
    ),
    "an integer that is 0 is written": ("pieces", "if lowest == 0 and not field.has_presence:", "if False:"),
    "zigzag is forgotten": ("pieces", "if field.type in ZIGZAG:", "if False:"),
    "the length of a text is that of its characters": (
        "pieces",
        "varint(len(data)) + data",
        "varint(len(value)) + data",
    ),
    "fields come in the order they are given": (
        "message_encoder",
        "sorted(map(self._field, (*scalars, *varying)), key=_number)",
        "list(map(self._field, (*scalars, *varying)))",
    ),
    "all rows are as wide as the first": ("assembling", "if kinds is None and variant_of is None:", "if True:"),
    "kinds are told apart by one field": (
        "assembling",
        "kind * (highest - lowest + 1) + (used - lowest)",
        "used - lowest",
    ),
    "rows come in the order of their kinds": (
        "assembling",
        "place[order] = np.arange(count)",
        "place[:] = np.arange(count)",
    ),
    "a stretch goes on into the next kind": (
        "assembling",
        "for numbers in (kinds, variant_of):",
        "for numbers in (variant_of,):",
    ),
    "a stretch goes on into the next variant": (
        "assembling",
        "for numbers in (kinds, variant_of):",
        "for numbers in (kinds,):",
    ),
    "variants are not told apart by their lengths": ("assembling", "if len(numbers) > 1:", "if False:"),
    "all rows have the heads of the first variant": (
        "assembling",
        "_table(piece, width).take(variant_of[stretch.rows])",
        "_table(piece, width)[0]",
    ),
    "wide heads are not cut": (
        "assembling",
        "if _differs(piece):\n            assert variant_of is not None\n            used",
        "if False:\n            used",
    ),
    "an empty text with presence is not written": ("pieces", "not value and not has_presence", "not value"),
    "rows are cut out late": (
        "assembling",
        "np.cumsum(lengths) - lengths, lengths)",
        "np.cumsum(lengths) - lengths, np.roll(lengths, -1))",
    ),
    "a byte that is the same in the lowest and the highest is computed for none": (
        "varints",
        "if low == high:",
        "if True:",
    ),
    "constant bytes of varints never continue": ("varints", "(0x80 if low > 0x7F else 0)", "0"),
    "bytes that all varints have never continue": ("varints", "column |= np.uint8(0x80)", "column &= np.uint8(0x7F)"),
    "bytes that some varints have always continue": ("varints", "(rest > 0x7F).astype(np.uint8)", "np.uint8(1)"),
    "the width of a varint is that of the narrowest": ("varints", "out += raw >= threshold", "pass"),
}


@pytest.mark.parametrize("bug", DECODER_MUTANTS)
def test_the_check_of_the_decoder_finds_the_bug(bug: str) -> None:
    module, text, changed = DECODER_MUTANTS[bug]
    with mutant(module, text, changed):
        protobuf = importlib.import_module("serving.formats.protobuf")
        tuning = importlib.import_module("serving.formats.layout_decoder").Tuning

    assert not passes(lambda: check_decoder(protobuf.ProtobufFormat, tuning))


@pytest.mark.parametrize("bug", ENCODER_MUTANTS)
def test_the_check_of_the_encoder_finds_the_bug(bug: str) -> None:
    module, text, changed = ENCODER_MUTANTS[bug]
    with mutant(module, text, changed):
        encoder = importlib.import_module("serving.formats.message_encoder").MessageEncoder

    assert not passes(lambda: check_encoder(encoder))


def test_the_code_as_it_is_passes_both_checks() -> None:
    protobuf = importlib.import_module("serving.formats.protobuf")
    tuning = importlib.import_module("serving.formats.layout_decoder").Tuning

    check_decoder(protobuf.ProtobufFormat, tuning)
    check_encoder(importlib.import_module("serving.formats.message_encoder").MessageEncoder)


def passes(check: Any) -> bool:
    # A mutant may fail in any way.
    try:
        check()
    except Exception:
        return False
    return True


def check_decoder(protobuf_format: Any, tuning: Any) -> None:
    """First what finds most bugs at once, then generated batches, the same ones each time."""
    eager = tuning(fewest_records=2, layout_us=0.0, walks_per_batch=24.0, rest_batches=0)
    decoders = [protobuf_format(MIXED, selection, tuning=eager) for selection in SELECTIONS]

    def check(values: list[bytes | None], which: int) -> None:
        assert_same(decoders[which].decode(values), by_runtime(values, SELECTIONS[which]), len(decoders[which].numbers))

    rnd = random.Random(3)
    for original in TEMPTING:
        values: list[bytes | None] = [original] * 3 + [flipped(original, rnd) for _ in range(60)] + [None]
        for which in range(len(SELECTIONS)):
            check(values, which)
    for which in range(len(SELECTIONS)):
        check(large_batch(rnd, 120), which)

    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(batches(), st.integers(0, len(SELECTIONS) - 1))
    def generated(values: list[bytes | None], which: int) -> None:
        check(values, which)

    generated()


TEMPTING: list[bytes] = [
    Mixed(i32=-1, i64=-5, u64=2**64 - 1, s32=-7, s64=-(2**40), b=True, color=-1).SerializeToString(),
    Mixed(fl=1.5, db=2.5, f64=2**63, sf64=-9, f32=7, sf32=-7, opt=0.0).SerializeToString(),
    Mixed(st="a text of many bytes", ostr="rosé", inner=Inner(s="in", x=1.0)).SerializeToString(),
    Mixed(inner=Inner(x=1.0, y=2.0, k=300, vec=[1, -1])).SerializeToString()
    + Mixed(inner=Inner(k=5, next=Inner(y=3.0))).SerializeToString(),
    Mixed(c_m=Inner(x=4.0, s="gone", vec=[3, 4])).SerializeToString() + Mixed(c_i=300).SerializeToString(),
    Mixed(c_d=1.0).SerializeToString() + Mixed(c_s="last").SerializeToString(),
    Mixed(db=1.0, st="between", opt=2.0, c_d=3.0).SerializeToString(),
    Mixed(emb=[1, 2, 3], unp=[1, 2], ints=[1, -1], embd=[5.0], db=1.0).SerializeToString(),
    Mixed(emb=[1, 2], db=1.0).SerializeToString(),
    Mixed(emb=[1, 2, 3, 4], db=1.0).SerializeToString(),
    Mixed(inner=Inner(vec=[1, -1, 1]), db=1.0).SerializeToString(),
    Mixed(db=1.0, b=True).SerializeToString() + b"\x68\x02" + b"\xa1\x06" + b"\xff" * 8,
]


def check_encoder(message_encoder: Any) -> None:
    """Columns with every edge of every kind of field, and enough kinds of rows for each way to cut them."""
    encoder = message_encoder(MIXED, fewest_messages=0)
    rnd = random.Random(5)
    integers = [0, 1, -1, 127, 128, -(2**31), 2**31 - 1]
    labels = ["", "red", "rosé"]
    for count in (7, 400):
        columns: dict[str, Any] = {
            "ostr": TextColumn(np.array([rnd.randrange(-1, 3) for _ in range(count)]), labels),
            "opt": np.array([rnd.choice([0.0, -0.0, np.nan, 1.0]) for _ in range(count)]),
            "db": np.array([rnd.choice([0.0, -0.0, 2.0]) for _ in range(count)]),
            "i64": np.arange(16_384 - count // 2, 16_384 - count // 2 + count),
            "u64": np.arange(count, dtype=np.uint64) + 2**40,
            "s32": np.array([rnd.choice(integers) for _ in range(count)]),
            "embd": np.array([[rnd.random(), 0.0] for _ in range(count)]),
            "st": "same",
        }
        few = Variants(
            [{"st": "wine", "i32": 7}, {"st": "a longer wine"}, {"i32": -1}, {"st": "vine", "i32": 9}],
            np.arange(count) * 4 // count,
        )
        alike = Variants([{"st": "red"}, {"st": "vin"}], np.arange(count) * 2 // count)
        for variants in (few, alike, Variants(few.scalars, np.array([rnd.randrange(4) for _ in range(count)]))):
            for names in (["db"], ["u64"], ["i64"], ["ostr", "s32"]):
                chosen = {name: columns[name] for name in names}
                assert encoder.encode(count, chosen, variants) == [
                    _message({**chosen, **variants.scalars[variants.of_row[row]]}, row) for row in range(count)
                ]
        for names in (
            list(columns),
            ["ostr", "s32"],
            ["s32"],
            ["i64", "u64"],
            ["db", "st"],
            ["opt", "ostr"],
            ["embd", "opt"],
        ):
            chosen = {name: columns[name] for name in names}
            assert encoder.encode(count, chosen) == [_message(chosen, row) for row in range(count)]


def _message(columns: dict[str, Any], row: int) -> bytes:
    fields = {}
    for name, column in columns.items():
        if isinstance(column, TextColumn):
            if column.codes[row] >= 0:
                fields[name] = column.values[column.codes[row]]
        else:
            fields[name] = column if isinstance(column, str | int) else column[row].tolist()
    data: bytes = Mixed(**fields).SerializeToString(deterministic=True)
    return data


@contextmanager
def mutant(module: str, text: str, changed: str) -> Iterator[None]:
    """Imports of `serving.formats` find fresh modules, one of them with `text` replaced by `changed`."""
    finder = _Finder(f"serving.formats.{module}", text, changed)
    original = {name: each for name, each in sys.modules.items() if name.startswith("serving.formats")}
    package = serving.formats  # type: ignore[attr-defined]  # which the imports above have set
    for name in original:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith("serving.formats")]:
            del sys.modules[name]
        sys.modules.update(original)
        serving.formats = package  # type: ignore[attr-defined]


class _Finder(MetaPathFinder):
    def __init__(self, name: str, text: str, changed: str) -> None:
        self.name, self.text, self.changed = name, text, changed

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        file = PACKAGE / f"{name.rpartition('.')[2]}.py"
        return ModuleSpec(name, _Mutating(name, str(file), self.text, self.changed), origin=str(file))


class _Mutating(SourceFileLoader):
    def __init__(self, name: str, path: str, text: str, changed: str) -> None:
        super().__init__(name, path)
        self.text, self.changed = text, changed

    def get_code(self, fullname: str) -> Any:
        source = Path(self.path).read_text()
        assert source.count(self.text) == 1, f"the line to change is not once in {self.path}: {self.text}"
        return compile(source.replace(self.text, self.changed), self.path, "exec")
