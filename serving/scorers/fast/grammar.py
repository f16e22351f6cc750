"""Which documents the fast tier reads: a list of every element and attribute that it knows. All others are refused.

An attribute that is listed is either obeyed by the compiler, or means nothing for a score (`id`, `modelName`). What lies
below an element of `_WITHOUT_EFFECT` is documentation, or is checked by others (`ModelVerification`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import Element

from serving.scorers.courtesy import STRIDE, pause

_WITHOUT_EFFECT: Final = frozenset({"Header", "ModelStats", "ModelExplanation", "ModelVerification"})

_MODEL: Final = frozenset({"modelName", "functionName", "algorithmName", "isScorable"})

_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "PMML": frozenset({"version", "xmlns"}),
    "DataDictionary": frozenset({"numberOfFields"}),
    "DataField": frozenset({"name", "displayName", "optype", "dataType"}),
    "Value": frozenset({"value", "displayValue", "property"}),
    "Interval": frozenset({"closure", "leftMargin", "rightMargin"}),
    "MiningSchema": frozenset(),
    "MiningField": frozenset(
        {
            "name",
            "usageType",
            "optype",
            "importance",
            "outliers",
            "lowValue",
            "highValue",
            "missingValueReplacement",
            "missingValueTreatment",
            "invalidValueTreatment",
            "invalidValueReplacement",
        }
    ),
    "Output": frozenset(),
    "OutputField": frozenset({"name", "displayName", "optype", "dataType", "feature", "value", "targetField"}),
    "TreeModel": _MODEL | {"missingValueStrategy", "missingValuePenalty", "noTrueChildStrategy", "splitCharacteristic"},
    "Node": frozenset({"id", "score", "recordCount", "defaultChild"}),
    "ScoreDistribution": frozenset({"value", "recordCount", "confidence", "probability"}),
    "True": frozenset(),
    "False": frozenset(),
    "SimplePredicate": frozenset({"field", "operator", "value"}),
    "SimpleSetPredicate": frozenset({"field", "booleanOperator"}),
    "CompoundPredicate": frozenset({"booleanOperator"}),
    "Array": frozenset({"n", "type"}),
    "MiningModel": _MODEL,
    "Segmentation": frozenset({"multipleModelMethod"}),
    "Segment": frozenset({"id", "weight"}),
    "RegressionModel": _MODEL | {"modelType", "targetFieldName", "normalizationMethod"},
    "RegressionTable": frozenset({"intercept", "targetCategory"}),
    "NumericPredictor": frozenset({"name", "coefficient", "exponent"}),
    "CategoricalPredictor": frozenset({"name", "value", "coefficient"}),
    "PredictorTerm": frozenset({"name", "coefficient"}),
    "FieldRef": frozenset({"field"}),
    "GeneralRegressionModel": _MODEL | {"modelType", "linkFunction", "targetVariableName", "distribution"},
    "ParameterList": frozenset(),
    "Parameter": frozenset({"name", "label"}),
    "FactorList": frozenset(),
    "CovariateList": frozenset(),
    "Predictor": frozenset({"name"}),
    "PPMatrix": frozenset(),
    "PPCell": frozenset({"value", "predictorName", "parameterName"}),
    "ParamMatrix": frozenset(),
    "PCell": frozenset({"parameterName", "beta", "df"}),
    "NeuralNetwork": _MODEL | {"activationFunction", "normalizationMethod", "numberOfLayers"},
    "NeuralInputs": frozenset({"numberOfInputs"}),
    "NeuralInput": frozenset({"id"}),
    "NeuralLayer": frozenset({"activationFunction", "normalizationMethod", "numberOfNeurons"}),
    "Neuron": frozenset({"id", "bias"}),
    "Con": frozenset({"from", "weight"}),
    "NeuralOutputs": frozenset({"numberOfOutputs"}),
    "NeuralOutput": frozenset({"outputNeuron"}),
    "DerivedField": frozenset({"name", "displayName", "optype", "dataType"}),
    "NormContinuous": frozenset({"field"}),
    "LinearNorm": frozenset({"orig", "norm"}),
    "NormDiscrete": frozenset({"field", "value"}),
}
"""Element -> its attributes."""


class NotFastError(Exception):
    """The model is not one for the fast tier; the message says why."""


def check_grammar(root: Element) -> None:
    """Look at every element and attribute of a screened document.

    Raises:
        NotFastError: One is not known here; the first is named.
    """
    pending = [root]
    count = 0
    while pending:
        element = pending.pop()
        count += 1
        if count % STRIDE == 0:
            pause()
        if element.tag in _WITHOUT_EFFECT:
            continue
        known = _KNOWN.get(element.tag)
        if known is None:
            raise NotFastError(f"the document uses <{element.tag}>")
        for name in element.attrib.keys() - known:
            raise NotFastError(f"the document uses the attribute {name} of <{element.tag}>")
        pending += element


def only(element: Element, *tags: str) -> None:
    """Refuse children of `element` with other tags than these; those without effect are let through.

    Raises:
        NotFastError: There is one.
    """
    for child in element:
        if child.tag not in tags and child.tag not in _WITHOUT_EFFECT:
            raise NotFastError(f"the document uses <{child.tag}> within <{element.tag}>")


def number_of(element: Element, name: str, default: str | None = None) -> float:
    """An attribute as a finite number.

    Raises:
        NotFastError: It is not there, or not a finite number.
    """
    text = element.get(name, default)
    try:
        value = float(text if text is not None else "")
    except ValueError as error:
        raise NotFastError(f"the attribute {name}={text!r} of <{element.tag}> is not a number") from error
    if value != value or value in (float("inf"), float("-inf")):
        raise NotFastError(f"the attribute {name}={text!r} of <{element.tag}> is not finite")
    return value
