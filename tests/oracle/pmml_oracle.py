"""What a PMML document says, computed from the text of the standard, slowly, one record at a time.

Written without a look at any engine, so that an engine can be held against it: plain Python over `xml.etree`, floats as
Python adds them up. It covers what our documents and those of the common exporters use: trees with the missing-value
strategies, regression and general regression with their link functions, neural networks, mining models (averages, votes,
sums, chains, selection), centre-based clustering, transformations, the treatment of missing and invalid values, targets.
What it does not cover raises `NotCoveredError`; it never guesses.

Only for documents that are known to be harmless: it parses what it is given.

`score(document, rows)` is all there is to it. A record is a mapping from field name to `float`, `int`, `str`, `bool`, or
`None` (also NaN, or absence) for a missing value. The columns are:

* classification: `predicted_<target>`: list of labels as the document writes them, or `None`;
  `probability`: list of lists, in the order of the classes in the document, or `None`;
* regression: `predicted_<target>`: list of floats, NaN for no result;
* clustering: `cluster`: list of cluster ids;
* each `OutputField` that is a transformed value, under its name.
"""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

Value = float | int | str | bool | None
Row = Mapping[str, Value]
_NUMBERS = ("integer", "float", "double")
_MODELS = (
    "TreeModel",
    "RegressionModel",
    "GeneralRegressionModel",
    "NeuralNetwork",
    "MiningModel",
    "ClusteringModel",
)


class NotCoveredError(Exception):
    """The document uses a part of PMML that the oracle does not know."""


class InvalidValueError(Exception):
    """A value is not valid for its field, and the mining schema says that the model then gives no result."""


def score(document: bytes, rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Score `rows` by `document`. See the module's docstring for the columns."""
    oracle = _Oracle(document)
    results = [oracle.score(row) for row in rows]
    return {name: [result[name] for result in results] for name in oracle.columns}


def categories(document: bytes) -> list[str]:
    """The class labels of a classification, in document order."""
    return _Oracle(document).categories


class _Result:
    """What a model gives for one record: a value, and for a classification the probability of each class."""

    def __init__(self, value: Value, probabilities: dict[str, float] | None = None) -> None:
        self.value = value
        self.probabilities = probabilities


class _Oracle:
    def __init__(self, document: bytes) -> None:
        root = ElementTree.fromstring(document)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        self._fields = {field.get("name"): field for field in root.iterfind("DataDictionary/DataField")}
        self._functions = {function.get("name"): function for function in root.iter("DefineFunction")}
        self._derived = root.findall("TransformationDictionary/DerivedField")
        (self._model,) = [child for child in root if child.tag in _MODELS]
        self._function = self._model.get("functionName")
        self._target = _target(self._model)
        self.categories = self._classes(self._model, self._target)
        self._transformed = [
            field for field in self._model.iterfind("Output/OutputField") if field.get("feature") == "transformedValue"
        ]
        self.columns = {
            "classification": [f"predicted_{self._target}", "probability"],
            "regression": [f"predicted_{self._target}"],
            "clustering": ["cluster"],
        }[str(self._function)] + [str(field.get("name")) for field in self._transformed]

    def score(self, row: Row) -> dict[str, Any]:
        nothing = math.nan if self._function == "regression" else None
        try:
            result, fields = self._evaluate(self._model, row, self._target)
        except InvalidValueError:
            result, fields = _Result(None), {}
        value = nothing if result.value is None else result.value
        answer: dict[str, Any] = {self.columns[0]: value}
        if self._function == "classification":
            found = result.probabilities
            answer["probability"] = None if found is None else [found.get(name, 0.0) for name in self.categories]
        outputs = dict(fields)
        for field in self._model.iterfind("Output/OutputField"):
            name, feature = str(field.get("name")), field.get("feature", "predictedValue")
            if feature == "predictedValue":
                outputs[name] = result.value
            elif feature == "probability" and result.probabilities is not None:
                outputs[name] = result.probabilities.get(str(field.get("value")), 0.0)
            elif feature == "transformedValue":
                outputs[name] = answer[name] = self._expression(_only_expression(field), outputs)
        return answer

    def _evaluate(self, model: Any, row: Row, outer_target: str | None) -> tuple[_Result, dict[str, Value]]:
        fields = dict(row) | self._prepare(model, row)
        for field in [*self._derived, *model.iterfind("LocalTransformations/DerivedField")]:
            fields[str(field.get("name"))] = _typed(field, self._expression(_only_expression(field), fields))
        target = _target(model) or outer_target
        by_tag: dict[str, Callable[..., _Result]] = {
            "TreeModel": self._tree,
            "RegressionModel": self._regression,
            "GeneralRegressionModel": self._general_regression,
            "NeuralNetwork": self._network,
            "MiningModel": self._mining,
            "ClusteringModel": self._clustering,
        }
        result = by_tag[model.tag](model, fields, target)
        if model.get("functionName") == "regression" and result.value is not None:
            result.value = _rescaled(model, target, float(result.value))
        return result, fields

    def _prepare(self, model: Any, row: Row) -> dict[str, Value]:
        """The active fields after the treatment of outliers, missing and invalid values."""
        prepared: dict[str, Value] = {}
        for mining in model.iterfind("MiningSchema/MiningField"):
            name = mining.get("name")
            if mining.get("usageType", "active") != "active":
                continue
            field = self._fields.get(name)
            value = row.get(name)
            if field is not None:
                value = _typed(field, value)
                if value is not None and not _is_valid(field, value):
                    match mining.get("invalidValueTreatment", "returnInvalid"):
                        case "returnInvalid":
                            raise InvalidValueError(name)
                        case "asMissing":
                            value = None
                        case "asIs":
                            pass
                        case other:
                            raise NotCoveredError(other)
            if value is not None and mining.get("outliers", "asIs") != "asIs":
                low, high = float(mining.get("lowValue", "-inf")), float(mining.get("highValue", "inf"))
                if mining.get("outliers") == "asExtremeValues":
                    value = min(max(float(value), low), high)
                elif not low <= float(value) <= high:
                    value = None
            if value is None and mining.get("missingValueReplacement") is not None:
                replacement = mining.get("missingValueReplacement")
                value = _typed(field, replacement) if field is not None else float(replacement)
            prepared[name] = value
        return prepared

    def _classes(self, model: Any, target: str | None) -> list[str]:
        if model.get("functionName") != "classification":
            return []
        field = self._fields.get(target)
        listed = [value.get("value") for value in field.findall("Value")] if field is not None else []
        if listed:
            return listed
        spelled = [element.get("value") for element in model.iter("ScoreDistribution")]
        spelled += [element.get("targetCategory") for element in model.iter("RegressionTable")]
        return list(dict.fromkeys(spelled))

    # -- trees

    def _tree(self, model: Any, fields: Row, target: str | None) -> _Result:
        node = self._leaf(model, fields)
        if node is None:
            return _Result(None)
        if model.get("functionName") == "regression":
            return _Result(float(node.get("score")))
        spelled = {_key(self._fields.get(target), name): name for name in self._classes_of(target)}
        weights = {}
        for distribution in node.findall("ScoreDistribution"):
            name = distribution.get("value")
            name = spelled.get(_key(self._fields.get(target), name), name)
            weights[name] = float(distribution.get("probability", distribution.get("recordCount")))
        total = sum(weights.values())
        probabilities = {name: weight / total for name, weight in weights.items()} if total else None
        label = node.get("score")
        if label is None and probabilities:
            label = max(probabilities, key=lambda name: probabilities[name])
        label = spelled.get(_key(self._fields.get(target), label), label)
        if probabilities is None and label is not None:
            probabilities = {label: 1.0}
        return _Result(label, probabilities)

    def _classes_of(self, target: str | None) -> list[str]:
        return self._classes(self._model, target)

    def _leaf(self, model: Any, fields: Row) -> Any:
        node = model.find("Node")
        if self._predicate(node, fields) is not True:
            return None
        while True:
            children = node.findall("Node")
            if not children:
                return node
            following = None
            for child in children:
                truth = self._predicate(child, fields)
                if truth is True:
                    following = child
                    break
                if truth is None:
                    match model.get("missingValueStrategy", "none"):
                        case "none":
                            continue
                        case "nullPrediction":
                            return None
                        case "lastPrediction":
                            return node
                        case "defaultChild":
                            wanted = node.get("defaultChild")
                            if wanted is None:
                                raise NotCoveredError("a node without defaultChild")
                            following = next(found for found in children if found.get("id") == wanted)
                            break
                        case other:
                            raise NotCoveredError(other)
            if following is None:
                last = model.get("noTrueChildStrategy", "returnNullPrediction") == "returnLastPrediction"
                return node if last else None
            node = following

    def _predicate(self, holder: Any, fields: Row) -> bool | None:
        """The truth of the predicate in `holder`; `None` is UNKNOWN."""
        for element in holder:
            if element.tag in ("True", "False", "SimplePredicate", "SimpleSetPredicate", "CompoundPredicate"):
                return self._truth(element, fields)
        raise NotCoveredError(f"<{holder.tag}> without a predicate")

    def _truth(self, element: Any, fields: Row) -> bool | None:
        match element.tag:
            case "True":
                return True
            case "False":
                return False
            case "SimplePredicate":
                return self._comparison(element, fields)
            case "SimpleSetPredicate":
                value = fields.get(element.get("field"))
                if value is None:
                    return None
                members = [_like(value, text) for text in _array(element.find("Array"))]
                return (value in members) == (element.get("booleanOperator") == "isIn")
        truths = [
            self._truth(child, fields)
            for child in element
            if child.tag in ("True", "False", "SimplePredicate", "SimpleSetPredicate", "CompoundPredicate")
        ]
        match element.get("booleanOperator"):
            case "and":
                return False if False in truths else None if None in truths else True
            case "or":
                return True if True in truths else None if None in truths else False
            case "xor":
                return None if None in truths else sum(truths) % 2 == 1
            case "surrogate":
                return next((truth for truth in truths if truth is not None), None)
        raise NotCoveredError(str(element.attrib))

    def _comparison(self, element: Any, fields: Row) -> bool | None:
        value, sign = fields.get(element.get("field")), element.get("operator")
        if sign in ("isMissing", "isNotMissing"):
            return (value is None) == (sign == "isMissing")
        if value is None:
            return None
        signs = {
            "equal": operator.eq,
            "notEqual": operator.ne,
            "lessThan": operator.lt,
            "lessOrEqual": operator.le,
            "greaterThan": operator.gt,
            "greaterOrEqual": operator.ge,
        }
        return bool(signs[sign](value, _like(value, element.get("value"))))

    # -- regression

    def _regression(self, model: Any, fields: Row, target: str | None) -> _Result:
        tables = model.findall("RegressionTable")
        sums = [self._table(table, fields) for table in tables]
        if any(value is None for value in sums):
            return _Result(None)
        method = model.get("normalizationMethod", "none")
        if model.get("functionName") == "regression":
            inverse = {"none": lambda y: y, "softmax": _logistic, "logit": _logistic, "exp": math.exp}
            return _Result(inverse[method](sums[0]))
        names = [table.get("targetCategory") for table in tables]
        match method:
            case "softmax":
                shares = _softmax(sums)
            case "simplemax":
                shares = [value / sum(sums) for value in sums]
            case "none":
                shares = [*sums[:-1], 1 - sum(sums[:-1])]
            case "logit" | "probit" | "cloglog" | "loglog" | "cauchit" if len(sums) == 2:
                first = _inverse_link(method, sums[0], None)
                shares = [first, 1 - first]
            case _:
                raise NotCoveredError(f"{method} of {len(sums)} classes")
        probabilities = dict(zip(names, shares, strict=True))
        return _Result(max(probabilities, key=lambda name: probabilities[name]), probabilities)

    def _table(self, table: Any, fields: Row) -> float | None:
        total = float(table.get("intercept"))
        for term in table:
            coefficient = float(term.get("coefficient", "nan"))
            value = fields.get(term.get("name"))
            match term.tag:
                case "NumericPredictor":
                    if value is None:
                        return None
                    total += coefficient * float(value) ** float(term.get("exponent", "1"))
                case "CategoricalPredictor":
                    total += coefficient * (value is not None and value == _like(value, term.get("value")))
                case "PredictorTerm":
                    factors = [fields.get(reference.get("field")) for reference in term.findall("FieldRef")]
                    if any(factor is None for factor in factors):
                        return None
                    total += coefficient * math.prod(float(factor) for factor in factors)
                case other:
                    raise NotCoveredError(other)
        return total

    def _general_regression(self, model: Any, fields: Row, target: str | None) -> _Result:
        cells = [
            (cell.get("parameterName"), cell.get("predictorName"), cell.get("value")) for cell in model.iter("PPCell")
        ]
        factors = {element.get("name") for element in model.iterfind("FactorList/Predictor")}
        covariates = {element.get("name") for element in model.iterfind("CovariateList/Predictor")}
        if any(fields.get(name) is None for name in factors | covariates):
            return _Result(None)
        products: dict[str | None, float] = {element.get("name"): 1.0 for element in model.iter("Parameter")}
        for parameter, predictor, text in cells:
            value = fields[predictor]
            if predictor in factors:
                products[parameter] *= value == _like(value, text)
            else:
                products[parameter] *= float(value) ** float(text)
        sums: dict[str | None, float] = {}
        for cell in model.iter("PCell"):
            category = cell.get("targetCategory")
            sums[category] = sums.get(category, 0.0) + float(cell.get("beta")) * products[cell.get("parameterName")]
        match model.get("modelType"):
            case "regression" | "generalLinear":
                return _Result(sums[None])
            case "generalizedLinear" if model.get("functionName") == "regression":
                parameter = model.get("linkParameter")
                return _Result(_inverse_link(model.get("linkFunction"), sums[None], parameter and float(parameter)))
            case "multinomialLogistic":
                reference = model.get("targetReferenceCategory")
                names = [*sums, *([reference] if reference not in sums else [])]
                shares = _softmax([sums.get(name, 0.0) for name in names])
                probabilities = dict(zip(names, shares, strict=True))
                return _Result(max(probabilities, key=lambda name: probabilities[name]), probabilities)
        raise NotCoveredError(str(model.attrib))

    # -- neural networks

    def _network(self, model: Any, fields: Row, target: str | None) -> _Result:
        values: dict[str, float] = {}
        for neuron in model.iterfind("NeuralInputs/NeuralInput"):
            value = self._expression(_only_expression(neuron.find("DerivedField")), fields)
            if value is None:
                return _Result(None)
            values[neuron.get("id")] = float(value)
        for layer in model.findall("NeuralLayer"):
            activate = _activation(layer.get("activationFunction") or model.get("activationFunction"))
            sums = {
                neuron.get("id"): float(neuron.get("bias", "0"))
                + sum(values[con.get("from")] * float(con.get("weight")) for con in neuron.findall("Con"))
                for neuron in layer.findall("Neuron")
            }
            out = {name: activate(value) for name, value in sums.items()}
            match layer.get("normalizationMethod") or model.get("normalizationMethod", "none"):
                case "softmax":
                    out = dict(zip(out, _softmax(list(out.values())), strict=True))
                case "simplemax":
                    out = {name: value / sum(out.values()) for name, value in out.items()}
            values |= out
        probabilities: dict[str, float] = {}
        for output in model.iterfind("NeuralOutputs/NeuralOutput"):
            expression = _only_expression(output.find("DerivedField"))
            value = values[output.get("outputNeuron")]
            match expression.tag:
                case "FieldRef":
                    return _Result(value)
                case "NormContinuous":
                    return _Result(_denormalised(expression, value))
                case "NormDiscrete":
                    probabilities[expression.get("value")] = value
        return _Result(max(probabilities, key=lambda name: probabilities[name]), probabilities)

    # -- mining models

    def _mining(self, model: Any, fields: Row, target: str | None) -> _Result:
        segmentation = model.find("Segmentation")
        method = segmentation.get("multipleModelMethod")
        results, weights = [], []
        known = dict(fields)
        for segment in segmentation.findall("Segment"):
            if self._predicate(segment, known) is not True:
                continue
            inner = next(child for child in segment if child.tag in _MODELS)
            result, inner_fields = self._evaluate(inner, known, target)
            if method == "selectFirst":
                return result
            results.append(result)
            weights.append(float(segment.get("weight", "1")))
            if method == "modelChain":
                for field in inner.iterfind("Output/OutputField"):
                    known[field.get("name")] = self._chained(field, result, inner_fields | known)
        if not results:
            return _Result(None)
        if method == "modelChain":
            return results[-1]
        if any(result.value is None for result in results):
            return _Result(None)
        if method in ("majorityVote", "weightedMajorityVote"):
            return self._vote(results, weights if method.startswith("weighted") else [1.0] * len(results))
        if model.get("functionName") == "regression":
            return _Result(_combined(method, [float(result.value or 0) for result in results], weights))
        if method not in ("average", "weightedAverage"):
            raise NotCoveredError(f"{method} of classifications")
        names = self._classes_of(target)
        probabilities = {
            name: _combined(method, [(result.probabilities or {}).get(name, 0.0) for result in results], weights)
            for name in names
        }
        return _Result(max(names, key=lambda name: probabilities[name]), probabilities)

    def _vote(self, results: list[_Result], weights: list[float]) -> _Result:
        votes: dict[str, float] = dict.fromkeys(self.categories, 0.0)
        for result, weight in zip(results, weights, strict=True):
            votes[str(result.value)] += weight
        probabilities = {name: count / sum(weights) for name, count in votes.items()}
        return _Result(max(probabilities, key=lambda name: probabilities[name]), probabilities)

    def _chained(self, field: Any, result: _Result, fields: dict[str, Value]) -> Value:
        match field.get("feature", "predictedValue"):
            case "predictedValue":
                return result.value
            case "probability":
                return (result.probabilities or {}).get(field.get("value"), 0.0)
            case "transformedValue":
                return self._expression(_only_expression(field), fields)
        raise NotCoveredError(str(field.attrib))

    # -- clustering

    def _clustering(self, model: Any, fields: Row, target: str | None) -> _Result:
        measure = model.find("ComparisonMeasure")
        kind = next(child.tag for child in measure if child.tag != "Extension")
        names, weights = [], []
        for field in model.findall("ClusteringField"):
            if field.get("compareFunction", measure.get("compareFunction", "absDiff")) != "absDiff":
                raise NotCoveredError(str(field.attrib))
            names.append(field.get("field"))
            weights.append(float(field.get("fieldWeight", "1")))
        if any(fields.get(name) is None for name in names):
            return _Result(None)
        best, nearest = None, math.inf
        for number, cluster in enumerate(model.findall("Cluster"), 1):
            centre = [float(text) for text in _array(cluster.find("Array"))]
            gaps = [abs(float(fields[name]) - x) for name, x in zip(names, centre, strict=True)]
            distance = {
                "squaredEuclidean": lambda gaps: sum(w * g * g for w, g in zip(weights, gaps, strict=True)),
                "euclidean": lambda gaps: math.sqrt(sum(w * g * g for w, g in zip(weights, gaps, strict=True))),
                "cityBlock": lambda gaps: sum(w * g for w, g in zip(weights, gaps, strict=True)),
                "chebychev": lambda gaps: max(w * g for w, g in zip(weights, gaps, strict=True)),
            }[kind](gaps)
            if distance < nearest:
                best, nearest = cluster.get("id") or str(number), distance
        return _Result(best)

    # -- expressions

    def _expression(self, element: Any, fields: Mapping[str, Value]) -> Value:
        match element.tag:
            case "Constant":
                text = element.text or ""
                return text if element.get("dataType") == "string" else _number_or_text(text)
            case "FieldRef":
                value = fields.get(element.get("field"))
                missing = element.get("mapMissingTo")
                return _number_or_text(missing) if value is None and missing is not None else value
            case "NormContinuous":
                return _normalised(element, fields.get(element.get("field")))
            case "NormDiscrete":
                value = fields.get(element.get("field"))
                if value is None:
                    return None if element.get("mapMissingTo") is None else float(element.get("mapMissingTo"))
                return float(value == _like(value, element.get("value")))
            case "Discretize":
                return _discretised(element, fields.get(element.get("field")))
            case "MapValues":
                return _mapped(element, fields)
            case "Apply":
                return self._apply(element, fields)
        raise NotCoveredError(element.tag)

    def _apply(self, element: Any, fields: Mapping[str, Value]) -> Value:
        name = element.get("function")
        if name == "if":
            condition, *branches = element
            chosen = branches[:1] if self._expression(condition, fields) else branches[1:]
            return self._expression(chosen[0], fields) if chosen else None
        arguments = [self._expression(child, fields) for child in element]
        if name == "isMissing":
            return arguments[0] is None
        if any(argument is None for argument in arguments):
            missing = element.get("mapMissingTo")
            return None if missing is None else _number_or_text(missing)
        if name in self._functions:
            function = self._functions[name]
            parameters = [parameter.get("name") for parameter in function.findall("ParameterField")]
            return self._expression(_only_expression(function), dict(zip(parameters, arguments, strict=True)))
        functions: dict[str, Callable[..., Value]] = {
            "+": operator.add,
            "-": operator.sub,
            "*": operator.mul,
            "/": operator.truediv,
            "min": min,
            "max": max,
            "sum": lambda *a: sum(a),
            "avg": lambda *a: sum(a) / len(a),
            "ln": math.log,
            "log10": math.log10,
            "exp": math.exp,
            "sqrt": math.sqrt,
            "abs": abs,
            "pow": pow,
            "floor": math.floor,
            "ceil": math.ceil,
            "equal": operator.eq,
            "notEqual": operator.ne,
            "lessThan": operator.lt,
            "lessOrEqual": operator.le,
            "greaterThan": operator.gt,
            "greaterOrEqual": operator.ge,
            "and": lambda *a: all(a),
            "or": lambda *a: any(a),
            "not": operator.not_,
            "uppercase": str.upper,
            "lowercase": str.lower,
            "concat": lambda *a: "".join(map(str, a)),
        }
        if name not in functions:
            raise NotCoveredError(name)
        return functions[name](*arguments)


def _target(model: Any) -> str | None:
    for field in model.iterfind("MiningSchema/MiningField"):
        if field.get("usageType") in ("target", "predicted"):
            return str(field.get("name"))
    return None


def _only_expression(holder: Any) -> Any:
    known = ("Constant", "FieldRef", "NormContinuous", "NormDiscrete", "Discretize", "MapValues", "Apply")
    return next(child for child in holder if child.tag in known)


def _typed(field: Any, value: Value) -> Value:
    """A value as its field's data type has it; `None` for a missing one, which NaN is too."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    missing = [found.get("value") for found in field.findall("Value") if found.get("property") == "missing"]
    if str(value) in missing:
        return None
    match field.get("dataType"):
        case "double" | "float":
            return float(value)
        case "integer":
            return int(float(value))
        case "boolean":
            return value in (True, 1, "true", "1")
    return str(value)


def _is_valid(field: Any, value: Value) -> bool:
    listed = [found.get("value") for found in field.findall("Value") if found.get("property", "valid") == "valid"]
    invalid = [found.get("value") for found in field.findall("Value") if found.get("property") == "invalid"]
    if any(value == _like(value, text) for text in invalid):
        return False
    if listed and field.get("optype") != "continuous":
        return any(value == _like(value, text) for text in listed)
    intervals = field.findall("Interval")
    return not intervals or any(_is_inside(interval, float(value)) for interval in intervals)  # type: ignore[arg-type]


def _is_inside(interval: Any, value: float) -> bool:
    low, high = float(interval.get("leftMargin", "-inf")), float(interval.get("rightMargin", "inf"))
    closure = interval.get("closure")
    above = value >= low if closure.startswith("closed") else value > low
    below = value <= high if closure.endswith("Closed") else value < high
    return above and below


def _like(value: Value, text: str) -> Value:
    """`text` as a value of the type of `value`."""
    if isinstance(value, bool):
        return text in ("true", "1")
    if isinstance(value, (int, float)):
        return float(text)
    return text


def _key(field: Any, text: str | None) -> object:
    if text is not None and field is not None and field.get("dataType") in _NUMBERS:
        return float(text)
    return text


def _number_or_text(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return text


def _array(element: Any) -> list[str]:
    text = element.text or ""
    if '"' not in text:
        return list(text.split())
    parts, inside, current = [], False, ""
    for character in text:
        if character == '"':
            if inside:
                parts.append(current)
            inside, current = not inside, ""
        elif inside:
            current += character
        elif not character.isspace():
            raise NotCoveredError("an array with and without quotes")
    return parts


def _combined(method: str | None, values: list[float], weights: list[float]) -> float:
    match method:
        case "average":
            return sum(values) / len(values)
        case "weightedAverage":
            return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
        case "sum":
            return sum(values)
        case "max":
            return max(values)
        case "median":
            return statistics.median(values)
    raise NotCoveredError(str(method))


def _rescaled(model: Any, target: str | None, value: float) -> float:
    for element in model.iterfind("Targets/Target"):
        if element.get("field", target) == target:
            low, high = float(element.get("min", "-inf")), float(element.get("max", "inf"))
            value = min(max(value, low), high)
            value = value * float(element.get("rescaleFactor", "1")) + float(element.get("rescaleConstant", "0"))
            match element.get("castInteger"):
                case "round":
                    value = math.floor(value + 0.5)
                case "floor":
                    value = math.floor(value)
                case "ceiling":
                    value = math.ceil(value)
    return value


def _logistic(y: float) -> float:
    return 1 / (1 + math.exp(-y)) if y >= 0 else math.exp(y) / (1 + math.exp(y))


def _softmax(values: list[float]) -> list[float]:
    most = max(values)
    powers = [math.exp(value - most) for value in values]
    return [power / sum(powers) for power in powers]


def _inverse_link(name: str | None, y: float, parameter: float | None) -> float:
    match name:
        case "identity" | "none":
            return y
        case "log":
            return math.exp(y)
        case "logit":
            return _logistic(y)
        case "cloglog":
            return 1 - math.exp(-math.exp(y))
        case "loglog":
            return math.exp(-math.exp(-y))
        case "cauchit":
            return 0.5 + math.atan(y) / math.pi
        case "probit":
            return statistics.NormalDist().cdf(y)
        case "power":
            assert parameter is not None
            return math.exp(y) if parameter == 0 else y ** (1 / parameter)
    raise NotCoveredError(str(name))


def _activation(name: str | None) -> Callable[[float], float]:
    known: dict[str | None, Callable[[float], float]] = {
        "logistic": _logistic,
        "tanh": math.tanh,
        "identity": lambda z: z,
        "rectifier": lambda z: max(0.0, z),
        "exponential": math.exp,
        "reciprocal": lambda z: 1 / z,
        "square": lambda z: z * z,
        "Gauss": lambda z: math.exp(-z * z),
        "sine": math.sin,
        "cosine": math.cos,
        "Elliott": lambda z: z / (1 + abs(z)),
        "arctan": lambda z: 2 * math.atan(z) / math.pi,
    }
    if name not in known:
        raise NotCoveredError(str(name))
    return known[name]


def _pairs(element: Any) -> list[tuple[float, float]]:
    return [(float(part.get("orig")), float(part.get("norm"))) for part in element.findall("LinearNorm")]


def _normalised(element: Any, value: Value) -> Value:
    if value is None:
        return None if element.get("mapMissingTo") is None else float(element.get("mapMissingTo"))
    x, pairs = float(value), _pairs(element)
    outliers = element.get("outliers", "asIs")
    if not pairs[0][0] <= x <= pairs[-1][0] and outliers == "asMissingValues":
        return None if element.get("mapMissingTo") is None else float(element.get("mapMissingTo"))
    if outliers == "asExtremeValues":
        x = min(max(x, pairs[0][0]), pairs[-1][0])
    segment = next((k for k in range(len(pairs) - 1) if x <= pairs[k + 1][0]), len(pairs) - 2)
    (a1, b1), (a2, b2) = pairs[segment], pairs[segment + 1]
    return b1 + (x - a1) / (a2 - a1) * (b2 - b1)


def _denormalised(element: Any, value: float) -> float:
    pairs = _pairs(element)
    segment = next((k for k in range(len(pairs) - 1) if value <= pairs[k + 1][1]), len(pairs) - 2)
    (a1, b1), (a2, b2) = pairs[segment], pairs[segment + 1]
    return (value - b1) / (b2 - b1) * (a2 - a1) + a1


def _discretised(element: Any, value: Value) -> Value:
    if value is None:
        return element.get("mapMissingTo")
    for bin_ in element.findall("DiscretizeBin"):
        if _is_inside(bin_.find("Interval"), float(value)):
            return str(bin_.get("binValue"))
    return element.get("defaultValue")


def _mapped(element: Any, fields: Mapping[str, Value]) -> Value:
    pairs = {pair.get("column"): fields.get(pair.get("field")) for pair in element.findall("FieldColumnPair")}
    if any(value is None for value in pairs.values()):
        missing = element.get("mapMissingTo")
        return None if missing is None else _number_or_text(missing)
    for row in element.iter("row"):
        cells = {cell.tag.rpartition("}")[2]: cell.text or "" for cell in row}
        if all(value == _like(value, cells[column]) for column, value in pairs.items()):
            return _number_or_text(cells[element.get("outputColumn")])
    default = element.get("defaultValue")
    return None if default is None else _number_or_text(default)
