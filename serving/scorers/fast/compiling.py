"""From a screened and normalised document to a flat model, or to the reason why there is none.

What is compiled here is compiled as the engine computes it, which on a few points is not what the standard says; where
the two part, admission shows it, and the model stays with the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np

from model_store.core.signature import Signature, TensorSpec
from serving.scorers.fast.forest import Ensemble, SingleTree
from serving.scorers.fast.grammar import NotFastError, check_grammar, number_of, only
from serving.scorers.fast.inputs import InputsBuilder, check_inner_schema
from serving.scorers.fast.linear import INVERSE_LINKS, Shares, Term, Value, WeightedSum
from serving.scorers.fast.model import CLOSE, ClassModel, Core, Evaluator, TreeModel, ValueModel
from serving.scorers.fast.network import ACTIVATIONS, Layer, Network, Norm
from serving.scorers.fast.trees import Graph, TreeCompiler
from serving.scorers.pmml.document import Document
from serving.scorers.pmml.normalise import same_value
from serving.scorers.pmml.signature import Schema

_PARTS: Final = ("MiningSchema", "Output")
_MOST_ORDERED_CLASSES: Final = 4
"""Up to which the engine takes the first of several classes that are equally probable; beyond, its order is its own."""


def compile_document(document: Document, schema: Schema, signature: Signature) -> tuple[Evaluator, Graph | None]:
    """The flat model of a document, and the graph of its trees if it is made of trees.

    Args:
        document: After `normalise`; the engine was given the same.
        schema: Of the document.
        signature: Of the reference scorer; the outputs are to be these.

    Raises:
        NotFastError: The document has something that is not for the fast tier.
    """
    check_grammar(document.root)
    only(document.root, "DataDictionary", document.model.tag)
    return _Compiler(document, schema, signature.outputs).compile()


class _Compiler:
    def __init__(self, document: Document, schema: Schema, outputs: tuple[TensorSpec, ...]) -> None:
        self._model = document.model
        self._schema = schema
        self._outputs = outputs
        self._inputs = InputsBuilder(document.root, document.model, schema)
        field = next((found for found in document.root.iter("DataField") if found.get("name") == schema.target), None)
        self._same: Callable[[str], object] = lambda text: same_value(field, text)
        self._classes = {self._same(label): index for index, label in enumerate(schema.categories)}
        self._is_ordinal = field is not None and field.get("optype") == "ordinal"

    def compile(self) -> tuple[Evaluator, Graph | None]:
        if self._schema.function not in ("classification", "regression"):
            raise NotFastError(f"the model does {self._schema.function}")
        self._check_outputs()
        match self._model.tag:
            case "TreeModel":
                return self._tree()
            case "MiningModel":
                return self._forest()
            case "RegressionModel":
                return self._regression(), None
            case "GeneralRegressionModel":
                return self._general_regression(), None
            case "NeuralNetwork":
                return self._network(), None
        raise NotFastError(f"a <{self._model.tag}> is not for the fast tier")

    def _check_outputs(self) -> None:
        """The outputs must be the label and the probabilities, or the one value."""
        for field in self._model.iterfind("Output/OutputField"):
            if field.get("feature", "predictedValue") not in ("predictedValue", "probability"):
                raise NotFastError(f"the document has the output {field.get('name')!r} of its own")
        categories = self._schema.categories
        known = {("string", 0, categories): "label", ("float64", 1, categories): "shares"}
        if not self._is_classification:
            known = {("float64", 0, ()): "value"}
        self._kinds = tuple(
            "node"
            if output.name == "node_id" and output.dtype == "string" and self._model.tag == "TreeModel"
            else known.get((output.dtype, len(output.shape), output.categories), "")
            for output in self._outputs
        )
        wanted = (("label",), ("label", "shares")) if self._is_classification else (("value",),)
        if tuple(kind for kind in self._kinds if kind != "node") not in wanted or self._kinds.count("node") > 1:
            raise NotFastError(f"the outputs are {', '.join(output.name for output in self._outputs) or 'none'}")

    @property
    def _is_classification(self) -> bool:
        return self._schema.function == "classification"

    def _class_of(self, label: str) -> int:
        index = self._classes.get(self._same(label))
        if index is None:
            raise NotFastError(f"the class {label!r} is not one of the target's")
        return index

    def _value_model(self, core: Core) -> ValueModel:
        return ValueModel(self._inputs.build(), core, self._outputs[0].name)

    def _class_model(self, core: Core, first_wins: bool) -> ClassModel:
        close = 0.0 if core.approximate is None else CLOSE
        return ClassModel(self._inputs.build(), core, self._outputs, first_wins, None, close)

    def _tree(self) -> tuple[Evaluator, Graph]:
        compiler = TreeCompiler(self._inputs, self._schema.categories, self._class_of, "node" in self._kinds)
        compiler.add(self._model)
        tree = SingleTree(compiler.graph)
        return TreeModel(self._inputs.build(), tree, self._outputs, self._kinds), compiler.graph

    def _forest(self) -> tuple[Evaluator, Graph]:
        only(self._model, *_PARTS, "Segmentation")
        segmentation = self._model.find("Segmentation")
        if segmentation is None:
            raise NotFastError("a MiningModel has no segments")
        only(segmentation, "Segment")
        compiler = TreeCompiler(self._inputs, self._schema.categories, self._class_of)
        weights = []
        names = [field.name for field in self._schema.inputs]
        for segment in segmentation:
            only(segment, "True", "TreeModel")
            tree = segment.find("TreeModel")
            if segment.find("True") is None or tree is None or len(segment) != 2:
                raise NotFastError("a segment is not a tree that is always asked")
            if tree.get("functionName") != self._schema.function or tree.find("Output") is not None:
                raise NotFastError("a segment has a function or outputs of its own")
            check_inner_schema(tree, names)
            compiler.add(tree)
            weights.append(number_of(segment, "weight", "1"))
        method = segmentation.get("multipleModelMethod", "")
        core = self._combination(method, compiler.graph, weights)
        if not self._is_classification:
            return self._value_model(core), compiler.graph
        first_wins = len(self._schema.categories) <= _MOST_ORDERED_CLASSES
        return self._class_model(core, first_wins), compiler.graph

    def _combination(self, method: str, graph: Graph, weights: list[float]) -> Ensemble:
        trees = float(len(weights))
        total = float(np.add.accumulate(weights)[-1])
        if not total > 0:
            raise NotFastError("the weights of the segments do not sum to a positive number")
        match method, self._is_classification:
            case "average", _:
                return Ensemble(graph, None, trees, is_vote=False)
            case "weightedAverage", _:
                return Ensemble(graph, weights, total, is_vote=False)
            case "sum", False:
                return Ensemble(graph, None, 1.0, is_vote=False)
            case "majorityVote", True:
                return Ensemble(graph, None, trees, is_vote=True)
            case "weightedMajorityVote", True:
                return Ensemble(graph, weights, trees, is_vote=True)
        raise NotFastError(f"the trees are combined by {method!r}")

    def _regression(self) -> Evaluator:
        only(self._model, *_PARTS, "RegressionTable")
        tables = self._model.findall("RegressionTable")
        method = self._model.get("normalizationMethod", "none")
        if not self._is_classification:
            link = {"none": "identity", "exp": "log", "logit": "logit", "softmax": "logit"}.get(method)
            if link is None or len(tables) != 1:
                raise NotFastError(f"{len(tables)} regression tables are normalised by {method!r}")
            return self._value_model(Value(self._table(tables[0]), link))
        positions = tuple(self._class_of(table.get("targetCategory", "")) for table in tables)
        is_known = method in ("softmax", "simplemax") or (method in ("logit", "none") and len(tables) == 2)
        if not is_known or self._is_ordinal or sorted(positions) != list(range(len(self._schema.categories))):
            raise NotFastError(f"the classes of a regression are normalised by {method!r}")
        shares = Shares(tuple(map(self._table, tables)), positions, method)
        return self._class_model(shares, first_wins=False)

    def _table(self, table: Element) -> WeightedSum:
        only(table, "NumericPredictor", "CategoricalPredictor", "PredictorTerm")
        return WeightedSum(number_of(table, "intercept", "0"), [self._term(element) for element in table])

    def _term(self, element: Element) -> Term:
        coefficient = number_of(element, "coefficient")
        name = element.get("name", "")
        if element.tag == "NumericPredictor":
            exponent = number_of(element, "exponent", "1")
            if not exponent.is_integer():
                raise NotFastError("an exponent is not a whole number")
            return Term(coefficient, ((self._inputs.number(name), exponent),))
        if element.tag == "CategoricalPredictor":
            # The engine adds the coefficient or a plain nought; nought times a negative coefficient would be a negative one.
            column = self._inputs.indicator(name, [element.get("value", "")], coefficient, 0.0, 0.0)
            return Term(1.0, ((column, 1.0),))
        only(element, "FieldRef")
        factors = tuple((self._inputs.number(reference.get("field", "")), 1.0) for reference in element)
        if not factors:
            raise NotFastError("a PredictorTerm is empty")
        return Term(coefficient, factors)

    def _general_regression(self) -> Evaluator:
        only(self._model, *_PARTS, "ParameterList", "FactorList", "CovariateList", "PPMatrix", "ParamMatrix")
        kind, link = self._model.get("modelType"), self._model.get("linkFunction", "identity")
        if kind in ("regression", "generalLinear"):
            link = "identity"
        elif kind != "generalizedLinear" or link not in INVERSE_LINKS:
            raise NotFastError(f"a general regression is of type {kind!r} with the link {link!r}")
        if self._is_classification:
            raise NotFastError("a general regression classifies")
        cells: dict[str, list[Element]] = {
            element.get("name", ""): [] for element in self._model.iterfind("ParameterList/Parameter")
        }
        for cell in self._model.iterfind("PPMatrix/PPCell"):
            if cell.get("parameterName", "") not in cells:
                raise NotFastError("a PPCell names no parameter")
            cells[cell.get("parameterName", "")].append(cell)
        intercept, terms = 0.0, []
        for weight in self._model.iterfind("ParamMatrix/PCell"):
            factors = self._factors(cells.get(weight.get("parameterName", ""), []))
            terms.append(Term(number_of(weight, "beta"), factors, zero_wins=len(factors) != 1))
        if terms and not terms[0].factors:
            # The engine adds it to nought.
            intercept = 0.0 + terms.pop(0).coefficient
        return self._value_model(Value(WeightedSum(intercept, terms), link))

    def _factors(self, cells: Sequence[Element]) -> tuple[tuple[int, float], ...]:
        factors = []
        for cell in cells:
            name = cell.get("predictorName", "")
            if self._inputs.is_text(name):
                factors.append((self._inputs.indicator(name, [cell.get("value", "")], 1.0, 0.0, 0.0), 1.0))
            else:
                factors.append((self._inputs.number(name), number_of(cell, "value")))
        return tuple(factors)

    def _network(self) -> Evaluator:
        only(self._model, *_PARTS, "NeuralInputs", "NeuralLayer", "NeuralOutputs")
        activation = self._model.get("activationFunction", "")
        normalisation = self._model.get("normalizationMethod", "none")
        names: list[str] = []
        norms = []
        for element in self._model.iterfind("NeuralInputs/NeuralInput"):
            names.append(element.get("id", ""))
            norms.append(self._norm(_expression(element)))
        layers = []
        for layer in self._model.findall("NeuralLayer"):
            only(layer, "Neuron")
            layers.append(
                _layer(
                    layer,
                    names,
                    layer.get("activationFunction", activation),
                    layer.get("normalizationMethod", normalisation),
                )
            )
            names = [neuron.get("id", "") for neuron in layer]
        if not layers or not norms:
            raise NotFastError("a network is empty")
        outputs: dict[int, int] = {}
        for element in self._model.iterfind("NeuralOutputs/NeuralOutput"):
            if element.get("outputNeuron") not in names:
                raise NotFastError("an output is not a neuron of the last layer")
            expression = _expression(element)
            if expression.get("field") != self._schema.target:
                raise NotFastError("an output of the network is not the target")
            wanted = "NormDiscrete" if self._is_classification else "FieldRef"
            if expression.tag != wanted:
                raise NotFastError(f"an output of the network is a <{expression.tag}>")
            place = self._class_of(expression.get("value", "")) if self._is_classification else 0
            if place in outputs:
                raise NotFastError("two outputs of the network are the same")
            outputs[place] = names.index(element.get("outputNeuron", ""))
        if len(outputs) != (len(self._schema.categories) or 1):
            raise NotFastError("a class has no output of the network")
        network = Network(tuple(norms), tuple(layers), tuple(outputs[place] for place in sorted(outputs)))
        if self._is_classification:
            return self._class_model(network, first_wins=False)
        return self._value_model(network)

    def _norm(self, expression: Element) -> Norm:
        column = self._inputs.number(expression.get("field", ""))
        if expression.tag == "FieldRef":
            return Norm(column, ())
        if expression.tag != "NormContinuous":
            raise NotFastError(f"an input of the network is a <{expression.tag}>")
        only(expression, "LinearNorm")
        points = [(number_of(point, "orig"), number_of(point, "norm")) for point in expression]
        if len(points) < 2 or any(low >= high for (low, _), (high, _) in pairwise(points)):
            raise NotFastError("the points of a norm do not ascend")
        return Norm(column, tuple(points))


def _expression(element: Element) -> Element:
    only(element, "DerivedField")
    derived = element.find("DerivedField")
    if derived is None or len(derived) != 1 or derived.get("dataType") not in ("double", "string"):
        raise NotFastError(f"a <{element.tag}> has not one plain derived field")
    return derived[0]


def _layer(layer: Element, given: list[str], activation: str, normalisation: str) -> Layer:
    if activation not in ACTIVATIONS or normalisation not in ("none", "softmax", "simplemax"):
        raise NotFastError(f"a layer is activated by {activation!r} and normalised by {normalisation!r}")
    weights = np.zeros((len(given), len(layer)))
    for column, neuron in enumerate(layer):
        only(neuron, "Con")
        if [con.get("from") for con in neuron] != given:
            raise NotFastError("a neuron does not take all of the layer before, in its order")
        weights[:, column] = [number_of(con, "weight") for con in neuron]
    biases = np.array([number_of(neuron, "bias", "0") for neuron in layer])
    return Layer(weights, biases, activation, normalisation)
