"""Edits that make PMML4S compute what the document says, and refusals where no edit would.

Each was found by holding PMML4S against the text of the standard, and none changes what the document means.

* A classification ensemble. A segment without a target field takes its classes from its first leaf, and the ensemble then
  reads every segment's probabilities by the first segment's positions; and a class that a leaf does not mention counts as
  NaN, which the comparison treats as the largest number. Together they made every one of 1,599 labels of an ordinary
  random forest wrong; with either edit alone most still are. So the target is named and the counts of nought written out.
* A weighted vote is divided by the number of voters instead of by their weights: the weights are scaled to sum to it.
* A missing integer is the number -2^63 and takes part in comparisons: continuous integers are declared double.
* A categorical double is compared by its position among its values: declared integer where all values are whole numbers,
  else refused.
* A set predicate does not see a text that is not listed, even where the schema says to take it as it is
  (`invalidValueTreatment="asIs"`): the list is dropped there.
* The tree strategy `nullPrediction` is not known to it: refused, unless the tree's form makes it the same as `none`.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element

from serving.core.errors import UnsupportedModelError
from serving.scorers.courtesy import STRIDE, pause
from serving.scorers.pmml.document import SUPPORTED_MODELS, Document, models_of

_VOTING = frozenset({"average", "weightedAverage", "median", "max", "majorityVote", "weightedMajorityVote"})
_NUMBERS = frozenset({"integer", "float", "double"})


@dataclass(slots=True)
class Edits:
    """What was changed, by kind of edit: how many elements."""

    distributions: int = 0
    targets: int = 0
    weights: int = 0
    types: int = 0
    lists: int = 0

    def __str__(self) -> str:
        parts = (
            (self.distributions, "wrote out {} ScoreDistribution elements of count 0"),
            (self.targets, "named the target field in {} segments"),
            (self.weights, "scaled the weights of {} segments"),
            (self.types, "changed the type of {} input fields"),
            (self.lists, "dropped the list of values of {} input fields"),
        )
        return "; ".join(text.format(count) for count, text in parts if count) or "nothing edited"


def normalise(document: Document) -> Edits:
    """Edit the tree of `document` in place and say what was edited. Doing it twice edits nothing more.

    Raises:
        UnsupportedModelError: PMML4S would misread the document, and no edit would help.
    """
    fields = {field.get("name", ""): field for field in document.root.iter("DataField")}
    edits = Edits()
    _walk(document.model, None, fields, edits)
    for model in models_of(document.model):
        _refuse_unknown_strategy(model)
    _retype_inputs(document, fields, edits)
    return edits


def target_of(model: Element) -> str | None:
    """The name of a model's target field, by its own mining schema."""
    schema = model.find("MiningSchema")
    for field in () if schema is None else schema.findall("MiningField"):
        if field.get("usageType") in ("target", "predicted"):
            return field.get("name")
    return None


def declared_values(field: Element) -> list[str]:
    """The valid values that a `DataField` lists, as the document writes them."""
    return [value.get("value", "") for value in field.findall("Value") if value.get("property", "valid") == "valid"]


def same_value(field: Element | None, value: str) -> object:
    """A key under which two spellings of one value are equal: `5` and `5.0` are, where the field is a number."""
    if field is not None and field.get("dataType") in _NUMBERS:
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _walk(model: Element, outer_target: str | None, fields: dict[str, Element], edits: Edits) -> None:
    target = target_of(model) or outer_target
    field = fields.get(target or "")
    segments = _segment_models(model)
    if model.get("functionName") == "classification" and target is not None and field is not None:
        if model.tag == "TreeModel":
            classes = declared_values(field)
            for count, node in enumerate(model.iter("Node")):
                edits.distributions += _complete(node, classes, field)
                if count % STRIDE == 0:
                    pause()
        if _method(model) in _VOTING:
            edits.targets += sum(_name_target(segment, target) for segment in segments)
        if _method(model) == "weightedMajorityVote":
            edits.weights += _scale_weights(model)
    for segment in segments:
        _walk(segment, target, fields, edits)


def _segment_models(model: Element) -> list[Element]:
    segmentation = model.find("Segmentation")
    if segmentation is None:
        return []
    return [child for segment in segmentation.findall("Segment") for child in segment if child.tag in SUPPORTED_MODELS]


def _method(model: Element) -> str:
    segmentation = model.find("Segmentation")
    return "" if segmentation is None else segmentation.get("multipleModelMethod", "")


def _complete(node: Element, classes: list[str], field: Element) -> int:
    """Write out the classes that a node's distribution leaves out. Returns how many."""
    present = node.findall("ScoreDistribution")
    if not present:
        return 0
    have = {same_value(field, distribution.get("value", "")) for distribution in present}
    missing = [value for value in classes if same_value(field, value) not in have]
    template = {"recordCount": "0"}
    template |= {name: "0" for name in ("probability", "confidence") if present[0].get(name) is not None}
    position = list(node).index(present[-1]) + 1
    for offset, value in enumerate(missing):
        node.insert(position + offset, Element("ScoreDistribution", {"value": value} | template))
    return len(missing)


def _name_target(segment: Element, target: str) -> int:
    schema = segment.find("MiningSchema")
    if segment.get("functionName") != "classification" or schema is None:
        return 0
    if target_of(segment) is not None or segment.find("Output") is not None:
        return 0
    schema.insert(0, Element("MiningField", {"name": target, "usageType": "target"}))
    return 1


def _scale_weights(model: Element) -> int:
    """Make the weights of a vote sum to the number of voters."""
    segments = model.findall("Segmentation/Segment")
    weights = [float(segment.get("weight", "1")) for segment in segments]
    scale = len(weights) / sum(weights) if sum(weights) > 0 else 1.0
    if abs(scale - 1) < 1e-12:
        return 0
    for segment, weight in zip(segments, weights, strict=True):
        segment.set("weight", repr(weight * scale))
    return len(segments)


def _retype_inputs(document: Document, fields: dict[str, Element], edits: Edits) -> None:
    treatments: dict[str, set[str]] = {}
    for model in models_of(document.model):
        for mining in model.iterfind("MiningSchema/MiningField"):
            if mining.get("usageType", "active") == "active":
                treatment = mining.get("invalidValueTreatment", "returnInvalid")
                treatments.setdefault(mining.get("name", ""), set()).add(treatment)
    for name in treatments.keys() & fields.keys():
        field, data_type = fields[name], fields[name].get("dataType")
        values = field.findall("Value")
        if data_type == "integer" and not values:
            field.set("dataType", "double")
            edits.types += 1
        elif data_type in ("double", "float") and declared_values(field) and field.get("optype") != "continuous":
            if not all(_is_whole(value.get("value", "")) for value in values):
                raise UnsupportedModelError(f"the categorical field {name!r} has values that are not whole numbers")
            field.set("dataType", "integer")
            for value in values:
                value.set("value", str(int(float(value.get("value", "")))))
            edits.types += 1
        elif data_type == "string" and treatments[name] == {"asIs"} and declared_values(field):
            for value in values:
                if value.get("property", "valid") == "valid":
                    field.remove(value)
            edits.lists += 1


def _is_whole(text: str) -> bool:
    try:
        return float(text).is_integer()
    except ValueError:
        return False


def _refuse_unknown_strategy(model: Element) -> None:
    if model.tag != "TreeModel" or model.get("missingValueStrategy") != "nullPrediction":
        return
    falls_back = model.get("noTrueChildStrategy") == "returnLastPrediction"
    if falls_back or not all(_splits_on_one_field(node) for node in model.iter("Node")):
        raise UnsupportedModelError(
            'the tree strategy missingValueStrategy="nullPrediction" is supported only where each node splits on one field '
            "and noTrueChildStrategy is returnNullPrediction"
        )


def _splits_on_one_field(node: Element) -> bool:
    """A missing value makes the predicates of all children unknown, so that no child is taken."""
    predicates = [child[0] for child in node.findall("Node") if len(child)]
    simple = all(predicate.tag in ("SimplePredicate", "SimpleSetPredicate") for predicate in predicates)
    tests_missing = any(predicate.get("operator") in ("isMissing", "isNotMissing") for predicate in predicates)
    return simple and not tests_missing and len({predicate.get("field") for predicate in predicates}) <= 1
