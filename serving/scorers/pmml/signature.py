"""What a PMML model takes and gives, read from its document.

The inputs come from the document alone: the active mining fields in their order, typed by the data dictionary. PMML4S is
asked for its own list of inputs when the model is loaded, and a difference is an error, not a guess.

The outputs need both: the document says which class labels there are and how it writes them, the engine says which
values it can compute. They are, in this order:

* classification: the label (text; the document's own name for it or `predicted_<target>`), then `probability`, a vector
  with one element a class, in the order in which `categories` lists the classes;
* regression: one number, the document's own name or `predicted_<target>`;
* clustering and the rest: what PMML4S gives for them (`cluster`, `cluster_name`, `distance`);
* then each further `OutputField` of the document under its own name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element

from model_store.core.signature import DType, FeatureSlot, Signature, TensorSpec
from serving.core.errors import DamagedModelError, SignatureError, UnsupportedModelError
from serving.scorers.pmml.document import SUPPORTED_MODELS, Document, models_of
from serving.scorers.pmml.normalise import declared_values, same_value, target_of

Kind = Literal["number", "integer", "boolean", "text"]

_KINDS: dict[str, Kind] = {
    "double": "number",
    "float": "number",
    "integer": "integer",
    "boolean": "boolean",
    "string": "text",
}
_DTYPES: dict[Kind, DType] = {"number": "float64", "integer": "int64", "boolean": "bool", "text": "string"}
_TREATED = frozenset({"asMean", "asMode", "asMedian", "asValue"})
_TOLERANT_TREES = frozenset({"defaultChild", "lastPrediction", "weightedConfidence", "aggregateNodes"})
# Where a document names a class, besides the data dictionary: element -> attribute.
_CLASS_SPELLINGS = {
    "ScoreDistribution": "value",
    "Node": "score",
    "RegressionTable": "targetCategory",
    "TargetValue": "value",
    "SupportVectorMachine": "targetCategory",
    "SimpleRule": "score",
    "NormDiscrete": "value",
    "TargetValueCount": "value",
}


@dataclass(frozen=True, slots=True)
class Input:
    """One active field.

    Attributes:
        name: As the document writes it.
        kind: What a value is; `integer` and `boolean` travel as numbers in the matrix.
        is_optional: The model says what a missing value means.
        categories: The valid values, where the dictionary lists them.
        replacement: What a missing integer or boolean is replaced by, which PMML4S cannot do; else `None`.
    """

    name: str
    kind: Kind
    is_optional: bool
    categories: tuple[str, ...]
    replacement: float | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """What the document alone says.

    Attributes:
        inputs: The active fields, in the order of the mining schema.
        function: `classification`, `regression`, `clustering` ...
        target: The target field's name, if the model has one.
        categories: The class labels as the document writes them; empty for a model that is not a classification.
        label_name: The document's own name for the predicted value, if it has one.
    """

    inputs: tuple[Input, ...]
    function: str
    target: str | None
    categories: tuple[str, ...]
    label_name: str | None

    @property
    def matrix_slots(self) -> tuple[int, ...]:
        """For each column of the matrix, the input that it is."""
        return tuple(index for index, field in enumerate(self.inputs) if field.kind != "text")

    @property
    def text_slots(self) -> tuple[int, ...]:
        """For each text column, the input that it is."""
        return tuple(index for index, field in enumerate(self.inputs) if field.kind == "text")


@dataclass(frozen=True, slots=True)
class EngineField:
    """A value that the engine can compute: one of PMML4S's output fields.

    Attributes:
        name: PMML4S's name.
        feature: `predictedValue`, `probability` ...
        value: The class whose probability it is, or `None`.
        kind: `number` (float64; NaN is null), or `text` (codes).
        is_own: The document lists it; otherwise it is one of PMML4S's defaults.
    """

    name: str
    feature: str
    value: str | None
    kind: Literal["number", "text"]
    is_own: bool


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """How the engine's columns become the signature's outputs.

    Attributes:
        outputs: The signature's outputs.
        sources: For each output, the engine's columns it is made of: one, or one a class for `probability`.
    """

    outputs: tuple[TensorSpec, ...]
    sources: tuple[tuple[int, ...], ...]


def read_schema(document: Document) -> Schema:
    """Inputs, target and classes of a screened document.

    Raises:
        DamagedModelError: A mining field that the data dictionary does not have, a field twice, no mining schema.
        UnsupportedModelError: A field of a type that a record cannot supply, or no active field at all.
    """
    fields = _data_fields(document)
    model = document.model
    function = model.get("functionName", "")
    target = target_of(model)
    categories = _categories(model, fields.get(target or "")) if function == "classification" else ()
    schema = model.find("MiningSchema")
    if schema is None:
        raise DamagedModelError(f"the <{model.tag}> has no MiningSchema")
    tolerant = _is_tolerant(model)
    handled = _fields_with_missing_rule(document.root)
    inputs = []
    for mining in schema.findall("MiningField"):
        if mining.get("usageType", "active") != "active":
            continue
        name = mining.get("name", "")
        field = fields.get(name)
        if field is None:
            raise DamagedModelError(f"the mining field {name!r} is not in the DataDictionary")
        optional = (
            tolerant
            or name in handled
            or mining.get("missingValueReplacement") is not None
            or mining.get("missingValueTreatment") in _TREATED
        )
        kind, replacement = _kind(field), mining.get("missingValueReplacement")
        inputs.append(Input(name, kind, optional, tuple(declared_values(field)), _replacement(kind, replacement)))
    if not inputs:
        raise UnsupportedModelError("the model has no active field: its answer would not depend on the record")
    if len({field.name for field in inputs}) != len(inputs):
        raise DamagedModelError("the MiningSchema names a field twice")
    return Schema(tuple(inputs), function, target, categories, _label_name(model))


def plan_outputs(schema: Schema, engine_fields: Sequence[EngineField]) -> OutputPlan:
    """Choose and name the outputs among what the engine can compute.

    Raises:
        SignatureError: The engine can give neither a label nor a value, or not one probability for each class.
    """
    label = _label_column(schema, engine_fields)
    plan: list[tuple[TensorSpec, tuple[int, ...]]] = []
    used: set[int] = set()
    if label is not None:
        own = engine_fields[label]
        name = schema.label_name or (own.name if own.is_own or schema.target is None else f"predicted_{schema.target}")
        dtype: DType = "string" if own.kind == "text" else "float64"
        plan.append((TensorSpec(name, dtype, (), schema.categories if own.kind == "text" else ()), (label,)))
        used |= {index for index, field in enumerate(engine_fields) if field.feature == "predictedValue"}
    if schema.function == "classification":
        by_class = {
            field.value: index
            for index, field in enumerate(engine_fields)
            if field.feature == "probability" and field.value is not None
        }
        if by_class:
            absent = [value for value in schema.categories if value not in by_class]
            if absent:
                raise SignatureError(f"the engine gives no probability for the class {absent[0]!r}")
            sources = tuple(by_class[value] for value in schema.categories)
            plan.append((TensorSpec("probability", "float64", (len(sources),), schema.categories), sources))
        used |= {index for index, field in enumerate(engine_fields) if field.feature == "probability"}
    taken = {spec.name for spec, _ in plan}
    for index, field in enumerate(engine_fields):
        wanted = field.is_own or (schema.function not in ("classification", "regression") and label != index)
        if index not in used and wanted and field.name not in taken:
            taken.add(field.name)
            plan.append((TensorSpec(field.name, "string" if field.kind == "text" else "float64"), (index,)))
    if not plan:
        raise SignatureError("the engine can compute no output of this model")
    return OutputPlan(tuple(spec for spec, _ in plan), tuple(sources for _, sources in plan))


def make_signature(schema: Schema, plan: OutputPlan) -> Signature:
    """The signature that a scorer of this model declares."""
    inputs = tuple(TensorSpec(field.name, _DTYPES[field.kind], (), field.categories) for field in schema.inputs)
    slots = tuple(FeatureSlot(field.name, field.kind == "text", field.is_optional) for field in schema.inputs)
    return Signature(inputs, plan.outputs, slots)


def _data_fields(document: Document) -> dict[str, Element]:
    dictionary = document.root.find("DataDictionary")
    if dictionary is None:
        raise DamagedModelError("the document has no DataDictionary")
    fields: dict[str, Element] = {}
    for field in dictionary.findall("DataField"):
        name = field.get("name", "")
        if not name:
            raise DamagedModelError("a DataField has no name")
        if name in fields:
            raise DamagedModelError(f"the DataDictionary has the field {name!r} twice")
        fields[name] = field
    return fields


def _kind(field: Element) -> Kind:
    data_type = field.get("dataType", "string")
    kind = _KINDS.get(data_type)
    if kind is None:
        known = ", ".join(_KINDS)
        raise UnsupportedModelError(f"the field {field.get('name')!r} is of type {data_type!r}; supported are {known}")
    return kind


def _replacement(kind: Kind, text: str | None) -> float | None:
    if text is None or kind not in ("integer", "boolean"):
        return None
    try:
        return {"true": 1.0, "false": 0.0}.get(text) if kind == "boolean" and text.isalpha() else float(text)
    except ValueError as error:
        raise DamagedModelError(f"missingValueReplacement={text!r} is not of type {kind}") from error


def _categories(model: Element, field: Element | None) -> tuple[str, ...]:
    """The class labels: the dictionary's list or, without one, the spellings that the model uses, in document order."""
    spellings = declared_values(field) if field is not None else []
    if not spellings:
        spellings = [
            value
            for element in model.iter()
            if (attribute := _CLASS_SPELLINGS.get(element.tag)) and (value := element.get(attribute)) is not None
        ]
    first: dict[object, str] = {}
    for value in spellings:
        first.setdefault(same_value(field, value), value)
    return tuple(first.values())


def _label_name(model: Element) -> str | None:
    output = model.find("Output")
    for field in () if output is None else output.findall("OutputField"):
        if field.get("feature", "predictedValue") == "predictedValue":
            return field.get("name")
    return None


def _label_column(schema: Schema, engine_fields: Sequence[EngineField]) -> int | None:
    candidates = [index for index, field in enumerate(engine_fields) if field.feature == "predictedValue"]
    if candidates:
        return candidates[0]
    if schema.function == "classification":
        raise SignatureError("the engine cannot give a label for this model")
    return None


def _is_tolerant(model: Element) -> bool:
    """The model gives an answer of its own rules for any missing value."""
    models = [found for found in models_of(model) if found.tag != "MiningModel"]
    return bool(models) and all(
        (found.tag == "TreeModel" and found.get("missingValueStrategy") in _TOLERANT_TREES)
        or found.tag in ("NaiveBayesModel", "ClusteringModel")
        for found in models
        if found.tag in SUPPORTED_MODELS
    )


def _fields_with_missing_rule(root: Element) -> set[str]:
    """Fields for which the document has a rule of its own: a missing-value predicate, or `mapMissingTo`."""
    handled = {
        predicate.get("field", "")
        for predicate in root.iter("SimplePredicate")
        if predicate.get("operator") in ("isMissing", "isNotMissing")
    }
    for element in root.iter():
        if element.get("mapMissingTo") is not None:
            handled |= {element.get("field", "")}
            handled |= {reference.get("field", "") for reference in element.iter("FieldRef")}
            handled |= {pair.get("field", "") for pair in element.iter("FieldColumnPair")}
        if element.tag == "Apply" and element.get("function") in ("isMissing", "isNotMissing"):
            handled |= {reference.get("field", "") for reference in element.findall("FieldRef")}
    return handled
