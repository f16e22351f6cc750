"""A PMML document, read strictly before any engine sees it.

PMML4S must never get the bytes of an upload: it opens `file:` and `http:` entities and puts what it read into predictions,
expands entities until the machine stands still, and loads some truncated files as different models (all measured). So
the bytes are parsed here, by expat with every door closed, into a tree that holds elements and attributes alone; what the
engine gets later is written anew from that tree. A document type declaration is refused as such: PMML has no use for one,
and without it there are no entities to expand or to fetch. Comments and processing instructions end here, and so do
`Extension` elements, which PMML lets any consumer ignore.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element
from xml.parsers import expat

from serving.core.errors import DamagedModelError, HostileModelError, ModelLimitError, UnsupportedModelError
from serving.scorers.base import LoadLimits
from serving.scorers.courtesy import STRIDE, pause

SUPPORTED_MODELS: Final = frozenset(
    {
        "AnomalyDetectionModel",
        "ClusteringModel",
        "GeneralRegressionModel",
        "MiningModel",
        "NaiveBayesModel",
        "NearestNeighborModel",
        "NeuralNetwork",
        "RegressionModel",
        "RuleSetModel",
        "Scorecard",
        "SupportVectorMachineModel",
        "TreeModel",
    }
)
_OTHER_MODELS: Final = frozenset(
    {
        "AssociationModel",
        "BaselineModel",
        "BayesianNetworkModel",
        "GaussianProcessModel",
        "SequenceModel",
        "TextModel",
        "TimeSeriesModel",
    }
)
_UNSUPPORTED_ELEMENTS: Final = frozenset({"TableLocator", "ExternalModel"}) | _OTHER_MODELS
_NOT_FOR_SCORING: Final = frozenset({"MiningBuildTask"})
_ENCODINGS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "utf-16"})
_NAMESPACE: Final = re.compile(r"https?://www\.dmg\.org/PMML-(\d+)[_.](\d+)/?")
_CHUNK_BYTES: Final = 1 << 13

_ESCAPES: Final = (
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ('"', "&quot;"),
    ("\n", "&#10;"),
    ("\r", "&#13;"),
    ("\t", "&#9;"),
)

# PMML 4.4, "Built-in functions". PMML4S looks a name up in its own table, other consumers in the class path: a name that
# is not in the standard and not defined by the document itself has no meaning that we could promise.
# fmt: off
_FUNCTIONS: Final = frozenset(
    {
        "+", "-", "*", "/", "min", "max", "sum", "avg", "median", "product", "log10", "ln", "sqrt", "abs", "exp",
        "pow", "threshold", "floor", "ceil", "round", "rint", "modulo", "isMissing", "isNotMissing", "isValid",
        "isNotValid", "equal", "notEqual", "lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual", "isIn",
        "isNotIn", "and", "or", "not", "if", "uppercase", "lowercase", "stringLength", "substring", "trimBlanks",
        "concat", "replace", "matches", "formatNumber", "formatDatetime", "dateDaysSinceYear", "dateSecondsSinceYear",
        "dateSecondsSinceMidnight", "expm1", "hypot", "ln1p", "sin", "asin", "sinh", "cos", "acos", "cosh", "tan",
        "atan", "tanh", "normalCDF", "normalPDF", "stdNormalCDF", "stdNormalPDF", "erf", "normalIDF", "stdNormalIDF",
    }
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Document:
    """A screened document. The tree is its own: nobody else holds it, so a later step may edit it.

    Attributes:
        root: The `PMML` element; tags are local names, no element carries a namespace.
        model: The one top-level model element, a child of `root`.
        version: The `version` attribute, `4.3` for instance.
        elements: How many elements the document had.
    """

    root: Element
    model: Element
    version: str
    elements: int

    def serialise(self) -> bytes:
        """The tree as ASCII XML without declaration, in the PMML namespace: what an engine may be given."""
        self.root.set("xmlns", f"http://www.dmg.org/PMML-{self.version.replace('.', '_')}")
        parts: list[str] = []
        pending: list[Element | str] = [self.root]
        while pending:
            part = pending.pop()
            if isinstance(part, str):
                parts.append(part)
                continue
            if len(parts) % STRIDE == 0:
                pause()
            # The standard's names are ASCII; others mean nothing to an engine, and a reference cannot stand for a name.
            if not part.tag.isascii():
                continue
            attributes = "".join(f' {name}="{_escaped(value)}"' for name, value in part.items() if name.isascii())
            text = _escaped(part.text) if part.text else ""
            if not len(part) and not text:
                parts.append(f"<{part.tag}{attributes}/>")
                continue
            parts.append(f"<{part.tag}{attributes}>{text}")
            pending.append(f"</{part.tag}>")
            pending.extend(reversed(part))
        return "".join(parts).encode("ascii", "xmlcharrefreplace")


def parse(payload: bytes, limits: LoadLimits) -> Document:
    """Parse and screen a document.

    Raises:
        ModelLimitError: More bytes, elements or nesting than `limits` allows.
        HostileModelError: A document type declaration, or a function name that reaches for a class.
        DamagedModelError: Truncated, malformed, in an encoding that is wrong or unknown, or not PMML.
        UnsupportedModelError: No model, several models, or elements that no engine here can serve; all are named.
    """
    if len(payload) > limits.artifact_bytes:
        raise ModelLimitError(f"the document has {len(payload):,} bytes; the limit is {limits.artifact_bytes:,} bytes")
    builder = _TreeBuilder(limits)
    builder.feed(payload)
    root = builder.root
    version = _screen_root(root, builder.namespace)
    _screen_elements(root)
    return Document(root, _only_model(root), version, builder.elements)


class _TreeBuilder:
    """Expat's events made into elements; refuses while it reads, so that what is refused costs no memory."""

    def __init__(self, limits: LoadLimits) -> None:
        self.elements = 0
        self.namespace = ""
        self._limits = limits
        self._open: list[Element] = []
        self._text: list[str] = []
        self._skipping = 0
        self._root: Element | None = None
        parser = expat.ParserCreate(namespace_separator="\n")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        self._parser: expat.XMLParserType | None = parser

    @property
    def root(self) -> Element:
        if self._root is None:
            raise DamagedModelError("the document has no root element")
        return self._root

    def feed(self, payload: bytes) -> None:
        """The whole document, once."""
        view, parser = memoryview(payload), self._parser
        assert parser is not None
        try:
            for start in range(0, len(view), _CHUNK_BYTES):
                parser.Parse(view[start : start + _CHUNK_BYTES], False)
                pause()
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            # A sequence, not a phrase: expat's own words, then where.
            reason = expat.errors.messages.get(error.code, str(error))
            raise DamagedModelError(
                f"not a whole, well-formed XML document: {reason} at line {error.lineno}, column {error.offset + 1}"
            ) from error
        except (ValueError, LookupError) as error:
            raise DamagedModelError(f"the document's encoding cannot be read: {error}") from error
        finally:
            # Builder and parser hold one another, and a worker's cycle collector hardly ever runs: each document would stay.
            self._parser = None

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            known = ", ".join(sorted(name.upper() for name in _ENCODINGS if "-" in name))
            raise DamagedModelError(f"the document declares the encoding {encoding!r}; known are {known}")

    def _doctype(self, name: str, system: str | None, public: str | None, internal: int) -> None:
        raise HostileModelError(
            f"the document has a document type declaration (<!DOCTYPE {name}> at {self._where()}); entities and external "
            "definitions are never read: remove the declaration"
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if self.elements > self._limits.nodes:
            raise ModelLimitError(f"the document has more than {self._limits.nodes:,} elements (at {self._where()})")
        if self._skipping:
            self._skipping += 1
            if self._skipping + len(self._open) > self._limits.depth:
                self._too_deep()
            return
        if len(self._open) >= self._limits.depth:
            self._too_deep()
        namespace, _, local = name.rpartition("\n")
        if not self._open:
            self.namespace = namespace
        elif local == "Extension" or (namespace != self.namespace and self._open[-1].tag != "row"):
            # The cells of an inline table may have a namespace of their own; elsewhere a foreign element is an extension.
            self._skipping = 1
            return
        plain = {key: value for key, value in attributes.items() if "\n" not in key}
        element = Element(local, plain)
        if self._open:
            self._keep_text()
            self._open[-1].append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, name: str) -> None:
        if self._skipping:
            self._skipping -= 1
            self._text.clear()
            return
        self._keep_text()
        self._open.pop()

    def _keep_text(self) -> None:
        """Text before the first child only: PMML has no mixed content, so what follows a child is layout."""
        parent = self._open[-1]
        if self._text and not len(parent):
            text = "".join(self._text)
            if text.strip():
                parent.text = (parent.text or "") + text
        self._text.clear()

    def _too_deep(self) -> None:
        raise ModelLimitError(f"the document nests deeper than {self._limits.depth} elements (at {self._where()})")

    def _where(self) -> str:
        assert self._parser is not None  # only asked while it reads
        return f"line {self._parser.CurrentLineNumber}, column {self._parser.CurrentColumnNumber + 1}"


def _screen_root(root: Element, namespace: str) -> str:
    if root.tag != "PMML":
        raise DamagedModelError(f"the root element is <{root.tag}>, not <PMML>")
    found = _NAMESPACE.fullmatch(namespace)
    if namespace and not found:
        raise DamagedModelError(f"the namespace {namespace!r} is not one of PMML (http://www.dmg.org/PMML-4_4)")
    version = root.get("version") or (f"{found[1]}.{found[2]}" if found else "")
    if not re.fullmatch(r"[234]\.\d(\.\d)?", version):
        raise UnsupportedModelError(f"PMML version {version!r}; versions 2.0 to 4.4 are supported")
    return version


def _screen_elements(root: Element) -> None:
    defined = {function.get("name", "") for function in root.iter("DefineFunction")}
    unsupported = dict.fromkeys(element.tag for element in root.iter() if element.tag in _UNSUPPORTED_ELEMENTS)
    if unsupported:
        raise UnsupportedModelError(f"the document uses {_names(unsupported)}, which cannot be served")
    unknown = dict.fromkeys(
        name for apply in root.iter("Apply") if (name := apply.get("function", "")) not in _FUNCTIONS | defined
    )
    if any("." in name for name in unknown):
        raise HostileModelError(
            f"Apply names the function {_names(unknown)}: a class of the host is not a PMML function"
        )
    if unknown:
        raise UnsupportedModelError(f"Apply names functions that PMML does not define: {_names(unknown)}")


def _only_model(root: Element) -> Element:
    for tag in _NOT_FOR_SCORING:
        for element in root.findall(tag):
            root.remove(element)
    models = [child for child in root if child.get("functionName") is not None or child.tag in SUPPORTED_MODELS]
    match models:
        case []:
            raise UnsupportedModelError("the document holds no model")
        case [model]:
            if model.tag not in SUPPORTED_MODELS:
                known = ", ".join(sorted(SUPPORTED_MODELS))
                raise UnsupportedModelError(f"the model element <{model.tag}> cannot be served; supported are {known}")
            if model.get("isScorable", "true") in ("false", "0"):
                raise UnsupportedModelError("the model says of itself that it cannot be scored (isScorable is false)")
            return model
        case _:
            names = ", ".join(f"<{model.tag}>" for model in models)
            raise UnsupportedModelError(f"the document holds {len(models)} models ({names}); one is expected")


def models_of(model: Element) -> Iterator[Element]:
    """The model and, at any depth, the models of its segments; parents first."""
    yield model
    segmentation = model.find("Segmentation")
    for segment in () if segmentation is None else segmentation.findall("Segment"):
        for child in segment:
            if child.tag in SUPPORTED_MODELS:
                yield from models_of(child)


def _escaped(text: str) -> str:
    """Text for an attribute or an element, line breaks included: a parser would make blanks of them in an attribute."""
    if text.isalnum():
        return text
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text


def _names(names: dict[str, None]) -> str:
    return ", ".join(repr(name) for name in list(names)[:5]) + (" and others" if len(names) > 5 else "")
