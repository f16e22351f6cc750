"""PMML4S, a batch at a time.

PMML4S scores one record a call, and a call from Python costs more than the record (2,000 us through its own Python
binding, 12 to 20 us through JPype). So the loop over the rows is moved into the Java machine without compiling any Java:
method handles are composed into a `Function` that predicts one row and into one function a column that takes a value out
of a result, and `java.util.stream` runs them over all rows. Python pays once a batch (1 to 3 us a record in all).

A batch of numbers goes in as `double[][]`. A batch with text or booleans goes in as `Object[][]`, also built by the Java
machine; the text cells alone are set from Python. Both give the same answers. NaN is a missing value in both.

Out come doubles, in which NaN stands for null, and codes. PMML4S has no null integer: its missing integer is the smallest
`long`, and is turned back into a null here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jpype
import numpy as np
from numpy.typing import NDArray

_MISSING_INTEGER = -(2**63)
# A text output that is not a class label may be different for every record; its dictionary starts anew beyond this.
_MOST_VALUES = 10_000

# Java objects and classes have no Python types: `Any` below is always one of them.


@dataclass(slots=True)
class TextValues:
    """The dictionary of a text output.

    Attributes:
        codes: Java map: value -> code.
        values: The spellings, in code order.
        fixed: How many of them are class labels; the rest was learned from results.
    """

    codes: Any
    values: list[str]
    fixed: int


class BulkModel:
    """A model loaded in PMML4S. Any thread may score, at the same time: PMML4S changes nothing of a model, and what is learned of
    its text outputs has a lock.

    Args:
        document: A screened document, as `Document.serialise` wrote it.
        names: The input fields in the order of the columns that `score` will get.
        kinds: The kind of each input: `number`, `integer`, `boolean`, `text`.
        categories: The class labels as the document writes them.
        numeric_target: Labels are numbers, so that `5` and `5.0` are one.

    Raises:
        jpype.JException: PMML4S cannot load the document.
        ValueError: PMML4S sees other inputs than `names`, or classes that are not in `categories`.
    """

    def __init__(
        self,
        document: bytes,
        names: Sequence[str],
        kinds: Sequence[str],
        categories: Sequence[str],
        numeric_target: bool,
    ) -> None:
        java = _java()
        self._learning = threading.Lock()
        self._document = jpype.JArray(jpype.JByte)(document)
        self._model = java.model.fromBytes(self._document)
        self._categories = list(categories)
        self._numeric_target = numeric_target
        wanted = [str(name) for name in self._model.inputNames()]
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise ValueError(f"PMML4S expects the field {unknown[0]!r}, which is not an active field of the document")
        self._kinds = [kinds[list(names).index(name)] for name in wanted]
        order = [list(names).index(name) for name in wanted]
        self._numbers_given = [kind != "text" for kind in kinds]
        self._order = order
        self._as_doubles = all(kind in ("number", "integer") for kind in kinds)
        self.fields = self._choose_fields()
        del self._document
        self.matrix_width = sum(self._numbers_given)
        self.text_width = len(self._numbers_given) - self.matrix_width
        self._predict = java.row_function(self._model)
        self._numeric_columns = [
            (java.double_column(index), java.is_integer(field)) if kind == "number" else None
            for index, (field, kind) in enumerate(zip(self._java_fields, self._field_kinds, strict=True))
        ]
        self._text_columns = [
            (java.value_column(index), self._dictionary(field)) if kind == "text" else None
            for index, (field, kind) in enumerate(zip(self._java_fields, self._field_kinds, strict=True))
        ]

    def score(
        self, matrix: NDArray[np.float64], texts: Sequence[tuple[NDArray[np.int64], Sequence[str]]]
    ) -> tuple[list[NDArray[np.float64]], list[tuple[NDArray[np.int32], list[str] | None]]]:
        """Score a batch.

        Args:
            matrix: (n, number of inputs that are not text), n >= 1.
            texts: For each text input its codes and its dictionary.

        Returns:
            The number columns, and the text columns as codes with their dictionary, `None` where it is `categories`;
            both in the order of `fields`.

        Raises:
            jpype.JException: PMML4S failed on a row.
        """
        java = _java()
        rows = self._double_rows(matrix) if self._as_doubles else self._object_rows(matrix, texts)
        results = java.arrays.stream(rows).map(self._predict).toArray()
        numbers = []
        for column in self._numeric_columns:
            if column is not None:
                function, is_integer = column
                values = np.asarray(java.arrays.stream(results).mapToDouble(function).toArray())
                if is_integer:
                    values = np.where(values == _MISSING_INTEGER, np.nan, values)
                numbers.append(values)
        with self._learning:
            coded = [self._codes(results, *column) for column in self._text_columns if column is not None]
        return numbers, coded

    def _choose_fields(self) -> list[dict[str, Any]]:
        """Have PMML4S compute its default outputs, and of the document's own those that are more than the same again.

        A chain of models hands the outputs of its last segment through, whatever was asked of it: there, and wherever a
        trial shows that PMML4S did not do as it was asked, its own choice is taken as it is.
        """
        model = self._model
        has_target = model.targetName() is not None
        own = list(model.customOutputFields()) or list(model.candidateOutputFields())
        default = [
            field
            for field in (model.defaultOutputFields() if has_target else ())
            if str(field.feature().toString()) != "probability" or field.value().isDefined()
        ]
        if default:
            # The document's own probabilities and label are the default's under other names, and cost as much again;
            # they are only kept where another of its outputs may be computed from them.
            derived = any(str(field.feature().toString()) not in ("predictedValue", "probability") for field in own)
            own = own if derived else []
        own_names = {str(field.name()) for field in own}
        self._java_fields = own + [field for field in default if str(field.name()) not in own_names]
        if default:
            model.setOutputFields(self._java_fields)
        if self._trial_width() != len(self._java_fields):
            self._model = model = _java().model.fromBytes(self._document)
            own_names = {str(field.name()) for field in model.customOutputFields()}
            if has_target:
                model.setSupplementOutput(True)
            self._java_fields = list(model.outputFields())
        if self._trial_width() != len(self._java_fields):
            raise ValueError("PMML4S does not give the outputs that it announces")
        self._field_kinds = [_java().kind(field) for field in self._java_fields]
        spelling = {self._key(value): value for value in self._categories}
        fields = []
        for field, kind in zip(self._java_fields, self._field_kinds, strict=True):
            raw = str(field.value().get().toString()) if field.value().isDefined() else None
            value = None if raw is None else spelling.get(self._key(raw), raw)
            feature = str(field.feature().toString())
            if feature == "predictedValue" and self._categories:
                kind = "text"
            fields.append(
                {
                    "name": str(field.name()),
                    "feature": feature,
                    "value": value,
                    "kind": kind,
                    "is_own": str(field.name()) in own_names,
                }
            )
        self._field_kinds = [str(field["kind"]) for field in fields]
        return fields

    def _trial_width(self) -> int:
        """How many values PMML4S gives for a record without any value."""
        return len(self._model.predict(jpype.JArray(jpype.JObject)(len(self._order))))

    def _key(self, text: str) -> object:
        if self._numeric_target:
            try:
                return float(text)
            except ValueError:
                return text
        return text

    def _dictionary(self, field: Any) -> TextValues:
        codes = jpype.JClass("java.util.HashMap")()
        if str(field.feature().toString()) != "predictedValue" or not self._categories:
            return TextValues(codes, [], 0)
        position = {self._key(value): index for index, value in enumerate(self._categories)}
        for label in self._model.classes():
            index = position.get(self._key(str(label.toString())))
            if index is None:
                raise ValueError(f"PMML4S gives the class {label}, which the document does not list")
            codes.put(label.toVal(), _boxed(index))
        return TextValues(codes, list(self._categories), len(self._categories))

    def _codes(self, results: Any, value_of: Any, known: TextValues) -> tuple[NDArray[np.int32], list[str] | None]:
        java = _java()
        code_of = java.code_function(known.codes)
        codes = np.asarray(java.arrays.stream(results).map(value_of).mapToInt(code_of).toArray())
        if (codes < 0).any() and self._learn(results, value_of, known):
            codes = np.asarray(java.arrays.stream(results).map(value_of).mapToInt(code_of).toArray())
        return codes, (list(known.values) if len(known.values) != known.fixed or not known.fixed else None)

    def _learn(self, results: Any, value_of: Any, known: TextValues) -> bool:
        """Take values that are not in the dictionary yet into it. Returns whether there were any."""
        if len(known.values) - known.fixed > _MOST_VALUES:
            for learned in [entry.getKey() for entry in known.codes.entrySet() if int(entry.getValue()) >= known.fixed]:
                known.codes.remove(learned)
            del known.values[known.fixed :]
        before = len(known.values)
        for value in _java().arrays.stream(results).map(value_of).distinct().toArray():
            if value is None or known.codes.containsKey(value) or str(value.toString()) == str(_MISSING_INTEGER):
                continue
            known.codes.put(value, _boxed(len(known.values)))
            known.values.append(str(value.toString()))
        return len(known.values) > before

    def _double_rows(self, matrix: NDArray[np.float64]) -> Any:
        if self._order != list(range(matrix.shape[1])):
            matrix = np.ascontiguousarray(matrix[:, self._order])
        return jpype.JArray.of(matrix)

    def _object_rows(
        self, matrix: NDArray[np.float64], texts: Sequence[tuple[NDArray[np.int64], Sequence[str]]]
    ) -> Any:
        java = _java()
        rows, width = len(matrix), len(self._order)
        flat = np.full((rows, width), np.nan)
        columns = np.cumsum(self._numbers_given) - 1
        for position, source in enumerate(self._order):
            if self._numbers_given[source]:
                flat[:, position] = matrix[:, columns[source]]
        cells = java.arrays.stream(jpype.JArray.of(flat.ravel())).boxed().toArray()
        text_columns = np.cumsum([not is_number for is_number in self._numbers_given]) - 1
        for position, source in enumerate(self._order):
            if self._kinds[position] == "text":
                codes, values = texts[text_columns[source]]
                strings = [jpype.JString(value) for value in values] + [None]
                cells[position::width] = [strings[code] for code in codes.tolist()]
            elif self._kinds[position] == "boolean":
                truth = {0.0: _truth(False), 1.0: _truth(True)}
                cells[position::width] = [truth.get(value) for value in flat[:, position].tolist()]
        return java.split_rows(cells, rows, width)


def _boxed(number: int) -> Any:
    return jpype.JClass("java.lang.Integer").valueOf(number)


def _truth(value: bool) -> Any:
    return jpype.JClass("java.lang.Boolean").valueOf(value)


@cache
def _java() -> _Java:
    return _Java()


class _Java:
    """The Java classes and method handles that every model shares."""

    def __init__(self) -> None:
        java = jpype.JClass
        self.handles = java("java.lang.invoke.MethodHandles")
        self.types = java("java.lang.invoke.MethodType")
        self.proxies = java("java.lang.invoke.MethodHandleProxies")
        self.arrays = java("java.util.Arrays")
        self.model = java("org.pmml4s.model.Model")
        self.object_class = java("java.lang.Object").class_
        self.objects_class = java("java.lang.Class").forName("[Ljava.lang.Object;")
        self.double = java("java.lang.Double").TYPE
        self.int = java("java.lang.Integer").TYPE
        self.boolean = java("java.lang.Boolean").TYPE
        self.function = java("java.util.function.Function").class_
        self.to_double = java("java.util.function.ToDoubleFunction").class_
        self.to_int = java("java.util.function.ToIntFunction").class_
        self.int_function = java("java.util.function.IntFunction").class_
        self.lookup = self.handles.publicLookup()
        self._element = self.handles.arrayElementGetter(self.objects_class)
        is_null = self.lookup.findStatic(
            java("java.util.Objects").class_, "isNull", self.types.methodType(self.boolean, self.object_class)
        )
        unbox = self.handles.identity(self.object_class).asType(self.types.methodType(self.double, self.object_class))
        nan = self.handles.constant(self.double, java("java.lang.Double").valueOf(float("nan")))
        self._double_or_nan = self.handles.guardWithTest(
            is_null, self.handles.dropArguments(nan, 0, [self.object_class]), unbox
        )

    def kind(self, field: Any) -> str:
        """`number` or `text`, for a field of PMML4S."""
        data_type = str(field.dataType().toString())
        return "number" if data_type in ("double", "float", "real", "integer") else "text"

    def is_integer(self, field: Any) -> bool:
        """A field whose null is the smallest `long`."""
        return str(field.dataType().toString()) == "integer"

    def row_function(self, model: Any) -> Any:
        """Function: row -> Object[] of results."""
        predict = self.lookup.findVirtual(
            self.model.class_, "predict", self.types.methodType(self.objects_class, self.object_class)
        ).bindTo(model)
        plain = predict.asType(self.types.methodType(self.object_class, self.object_class))
        return self.proxies.asInterfaceInstance(self.function, plain)

    @cache  # noqa: B019  one instance lives as long as the process
    def value_column(self, index: int) -> Any:
        """Function: Object[] of results -> the value at `index`."""
        at = self.handles.insertArguments(self._element, 1, [_boxed(index)])
        plain = at.asType(self.types.methodType(self.object_class, self.object_class))
        return self.proxies.asInterfaceInstance(self.function, plain)

    @cache  # noqa: B019  one instance lives as long as the process
    def double_column(self, index: int) -> Any:
        """ToDoubleFunction: Object[] of results -> the number at `index`, NaN for null."""
        at = self.handles.insertArguments(self._element, 1, [_boxed(index)])
        number = self.handles.filterReturnValue(at, self._double_or_nan)
        plain = number.asType(self.types.methodType(self.double, self.object_class))
        return self.proxies.asInterfaceInstance(self.to_double, plain)

    def code_function(self, codes: Any) -> Any:
        """ToIntFunction: value -> its code in the map `codes`, or -1."""
        get = self.lookup.findVirtual(
            jpype.JClass("java.util.HashMap").class_,
            "getOrDefault",
            self.types.methodType(self.object_class, self.object_class, [self.object_class]),
        ).bindTo(codes)
        plain = self.handles.insertArguments(get, 1, [_boxed(-1)])
        return self.proxies.asInterfaceInstance(
            self.to_int, plain.asType(self.types.methodType(self.int, self.object_class))
        )

    def split_rows(self, cells: Any, rows: int, width: int) -> Any:
        """Object[rows * width] -> Object[rows] of Object[width]."""
        math, integers = jpype.JClass("java.lang.Math").class_, self.types.methodType(self.int, self.int, [self.int])
        times = self.lookup.findStatic(math, "multiplyExact", integers)
        plus = self.lookup.findStatic(math, "addExact", integers)
        begin = self.handles.insertArguments(times, 1, [_boxed(width)])
        end = self.handles.filterReturnValue(begin, self.handles.insertArguments(plus, 1, [_boxed(width)]))
        copy = self.lookup.findStatic(
            self.arrays.class_,
            "copyOfRange",
            self.types.methodType(self.objects_class, self.objects_class, [self.int, self.int]),
        ).bindTo(cells)
        one_row = self.handles.filterArguments(copy, 0, [begin, end])
        one_row = self.handles.permuteArguments(one_row, self.types.methodType(self.objects_class, self.int), [0, 0])
        function = self.proxies.asInterfaceInstance(
            self.int_function, one_row.asType(self.types.methodType(self.object_class, self.int))
        )
        return jpype.JClass("java.util.stream.IntStream").range(0, rows).mapToObj(function).toArray()
