"""What decoding records and encoding results costs: CPU microseconds a record, on this machine, now.

    python -m benchmarks.codec [--json]

Records are wines as a producer sends them (eleven doubles and a data type of one of two lengths, `citric_acid` often 0
and so not written), in steady state: the layouts are learned before the clock runs. Both the best and the median of many
repetitions are printed; on a machine with other work to do the best is the one to compare. `upb` is the plain way: one
message at a time with the protobuf runtime.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from modelserving.v1 import records_pb2

from serving.core.columns import TextColumn
from serving.formats import open_result_format
from serving.formats.base import FieldSelection, Provenance, ScoredColumns
from serving.formats.json import JsonFormat
from serving.formats.protobuf import ProtobufFormat

FEATURES = (
    "fixed_acidity",
    "volatile_acidity",
    "citric_acid",
    "residual_sugar",
    "chlorides",
    "free_sulfur_dioxide",
    "total_sulfur_dioxide",
    "density",
    "ph",
    "sulphates",
    "alcohol",
)
PROVENANCE = Provenance("wine-quality", 3, bytes(range(32)), "wine", "wine.records", 2, 77, "worker-1")


def wine_message() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="bench/wine.proto", package="bench", syntax="proto3")
    message = file.message_type.add(name="Wine")
    for number, name in enumerate(FEATURES, start=1):
        message.field.add(name=name, number=number, type=1, label=1)
    message.field.add(name="data_type", number=12, type=9, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindMessageTypeByName("bench.Wine")


WINE = wine_message()
Wine: Any = message_factory.GetMessageClass(WINE)


def wines(count: int, zeros: float, types: tuple[str, ...]) -> list[dict[str, Any]]:
    rnd = random.Random(7)
    out = []
    for _ in range(count):
        wine: dict[str, Any] = {name: round(rnd.uniform(0.1, 20), 3) for name in FEATURES}
        if rnd.random() < zeros:
            wine["citric_acid"] = 0.0
        wine["data_type"] = rnd.choice(types)
        out.append(wine)
    return out


def measure(work: Callable[[], object], count: int) -> tuple[float, float]:
    """Best and median CPU microseconds a record."""
    for _ in range(12):
        work()
    repetitions = max(7, min(60, 60_000 // count))
    batch = max(1, 200 // count)
    times = []
    for _ in range(repetitions):
        begin = time.process_time_ns()
        for _ in range(batch):
            work()
        times.append((time.process_time_ns() - begin) / 1000 / batch / count)
    return min(times), statistics.median(times)


def decoding(count: int) -> dict[str, Callable[[], object]]:
    cases: dict[str, Callable[[], object]] = {}
    shapes = {
        "1 layout": (0.0, ("wine",)),
        "2 layouts (red, white)": (0.0, ("red", "white")),
        "4 layouts (red, white, 8 % zeros)": (0.08, ("red", "white")),
    }
    for name, (zeros, types) in shapes.items():
        records = [Wine(**wine).SerializeToString() for wine in wines(count, zeros, types)]
        cases[f"decode protobuf, {name}"] = _decode(
            ProtobufFormat(WINE, FieldSelection(route_field="data_type")), records
        )
    read = attrgetter(*FEATURES)
    message = Wine()

    def by_upb() -> object:
        matrix = np.empty((count, len(FEATURES)))
        types = []
        for row, record in enumerate(records):
            message.ParseFromString(record)
            matrix[row] = read(message)
            types.append(message.data_type)
        return matrix, types

    cases["decode protobuf, upb"] = by_upb
    texts = [json.dumps(wine).encode() for wine in wines(count, 0.08, ("red", "white"))]
    cases["decode json"] = _decode(JsonFormat(FieldSelection(FEATURES, route_field="data_type")), texts)
    return cases


def encoding(count: int) -> dict[str, Callable[[], object]]:
    rnd = np.random.default_rng(7)
    names = [f"class {'x' * (i % 4)}{i}" for i in range(10)]
    offsets, stamps = np.arange(10_000_000, 10_000_000 + count), np.arange(count) + 1_763_700_000_000
    two, ten = rnd.integers(0, 2, count), rnd.integers(-1, 10, count)
    number = rnd.normal(size=count)
    shapes = {
        "prediction": ScoredColumns(offsets, stamps, number),
        "all set": ScoredColumns(offsets, stamps, number, TextColumn(two, ["good", "poor"]), rnd.random((count, 3))),
        "10 labels of 4 lengths, some absent": ScoredColumns(offsets, stamps, number, TextColumn(ten, names)),
        "10 labels, offsets growing by a byte": ScoredColumns(
            np.arange(2**21 - count // 2, 2**21 - count // 2 + count), stamps, number, TextColumn(ten, names)
        ),
        "9 scores": ScoredColumns(offsets, stamps, None, None, rnd.random((count, 9))),
    }
    cases = {
        f"encode {kind}, {name}": _encode(open_result_format(kind), columns)
        for kind in ("protobuf", "json")
        for name, columns in shapes.items()
    }

    def by_upb() -> object:
        message = records_pb2.ScoreResult(
            model="wine-quality", model_version=3, sha256=bytes(32), data_type="wine", topic="wine.records",
            partition=2, control_offset=77, worker="worker-1", label="good",
        )  # fmt: skip
        out = []
        for offset, stamp, value in zip(offsets.tolist(), stamps.tolist(), number.tolist(), strict=True):
            message.offset = offset
            message.record_timestamp_ms = stamp
            message.prediction = value
            out.append(message.SerializeToString())
        return out

    cases["encode protobuf, upb without scores"] = by_upb
    return cases


def _decode(format_: Any, records: list[bytes]) -> Callable[[], object]:
    return lambda: format_.decode(records)


def _encode(format_: Any, columns: ScoredColumns) -> Callable[[], object]:
    return lambda: format_.encode(PROVENANCE, columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print all figures as one last line of JSON")
    parser.add_argument("--records", type=int, nargs="+", default=[2000, 1043, 100, 10, 1], help="records a batch")
    options = parser.parse_args()
    figures = {}
    print(f"{'CPU us a record, best (median)':48}" + "".join(f"{count:>18}" for count in options.records))
    tables = [{**decoding(count), **encoding(count)} for count in options.records]
    for name in tables[0]:
        line = f"{name:48}"
        for count, table in zip(options.records, tables, strict=True):
            best, median = measure(table[name], count)
            figures[f"{name}, {count}"] = {"best_us": round(best, 4), "median_us": round(median, 4)}
            line += f"{best:9.3f} ({median:6.3f})"
        print(line)
        sys.stdout.flush()
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
