"""Edits that make PMML4S compute what the document says.

PMML4S gives wrong answers for classification ensembles that leave out what PMML lets them leave out (measured: every one
of 1,599 labels of an ordinary random forest was wrong). Two things come together there. A segment without a target field
takes its classes from its first leaf, and the ensemble then reads every segment's probabilities by the first segment's
positions; and a class that a leaf does not mention counts as NaN, which its comparison treats as the largest number.
Each edit alone is not enough; both together give the oracle's answers exactly. Neither changes what the document means:
a class that is not mentioned has a record count of nought, and the ensemble's target is the target of its votes.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element

from serving.scorers.pmml.document import SUPPORTED_MODELS, Document

_VOTING = frozenset({"average", "weightedAverage", "median", "max", "majorityVote", "weightedMajorityVote"})
_NUMBERS = frozenset({"integer", "float", "double"})


@dataclass(frozen=True, slots=True)
class Edits:
    """What was changed: how many distributions were written out, and how many segments were told their target."""

    distributions: int = 0
    targets: int = 0

    def __str__(self) -> str:
        parts = []
        if self.distributions:
            parts.append(f"wrote out {self.distributions} ScoreDistribution elements of count 0")
        if self.targets:
            parts.append(f"named the target field in {self.targets} segments")
        return "; ".join(parts) or "nothing edited"


def normalise(document: Document) -> Edits:
    """Edit the tree of `document` in place and say what was edited. Doing it twice edits nothing more."""
    fields = {field.get("name", ""): field for field in document.root.iter("DataField")}
    return _walk(document.model, None, fields)


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


def _walk(model: Element, outer_target: str | None, fields: dict[str, Element]) -> Edits:
    target = target_of(model) or outer_target
    field = fields.get(target or "")
    distributions = targets = 0
    segments = _segment_models(model)
    if model.get("functionName") == "classification" and target is not None and field is not None:
        classes = declared_values(field)
        if model.tag == "TreeModel":
            distributions += sum(_complete(node, classes, field) for node in model.iter("Node"))
        if _method(model) in _VOTING:
            targets += sum(_name_target(segment, target) for segment in segments)
    for segment in segments:
        edits = _walk(segment, target, fields)
        distributions += edits.distributions
        targets += edits.targets
    return Edits(distributions, targets)


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
