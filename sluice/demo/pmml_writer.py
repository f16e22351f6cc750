"""Write fitted scikit-learn estimators as PMML 4.4 documents.

One public function, `to_pmml`; one private one for each family of estimators, each of which returns the model element.
Numbers are written with the digits that read back as the same double, so a document says exactly what the estimator
computes. What is not written is refused, never approximated.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from functools import singledispatch

import numpy as np
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

NAMESPACE = "http://www.dmg.org/PMML-4_4"
_LEAF = -1


def to_pmml(estimator: object, features: Sequence[str], target: str, description: str) -> bytes:
    """The document of a fitted estimator, UTF-8, indented, the same bytes for the same parameters.

    Takes decision trees, random-forest classifiers, linear regression, k-means, and a pipeline of a standard scaler and
    one of k-means or a multi-layer perceptron classifier.

    Args:
        estimator: Fitted on a matrix whose columns are `features`.
        features: Names of the inputs, all of them continuous doubles.
        target: Name of what is predicted; a clustering has none and ignores it.
        description: A sentence for the document's header.

    Raises:
        TypeError: No PMML is written for an estimator of this kind.
    """
    root = ET.Element("PMML", xmlns=NAMESPACE, version="4.4")
    ET.SubElement(ET.SubElement(root, "Header", description=description), "Application", name="Sluice", version="1")
    dictionary = ET.SubElement(root, "DataDictionary")
    for feature in features:
        ET.SubElement(dictionary, "DataField", name=feature, optype="continuous", dataType="double")
    classes = _classes(estimator)
    if classes:
        field = ET.SubElement(dictionary, "DataField", name=target, optype="categorical", dataType="string")
        for label in classes:
            ET.SubElement(field, "Value", value=label)
    elif not _is_clustering(estimator):
        ET.SubElement(dictionary, "DataField", name=target, optype="continuous", dataType="double")
    model = _model(estimator, features, target)
    if classes:
        model.insert(1, _class_outputs(classes))
    root.append(model)
    ET.indent(root, " ")
    body: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'.encode()


@singledispatch
def _model(estimator: object, features: Sequence[str], target: str) -> ET.Element:
    raise TypeError(f"no PMML is written for {type(estimator).__name__}")


@_model.register
def _classification_tree(estimator: DecisionTreeClassifier, features: Sequence[str], target: str) -> ET.Element:
    labels = _labels(estimator.classes_)

    def leaf(element: ET.Element, node: int) -> None:
        shares = estimator.tree_.value[node][0]
        counts = shares * estimator.tree_.weighted_n_node_samples[node]
        element.set("score", labels[int(np.argmax(shares))])
        for label, count in zip(labels, counts, strict=True):
            ET.SubElement(element, "ScoreDistribution", value=label, recordCount=_number(round(float(count), 6)))

    return _tree(estimator, features, target, "classification", leaf)


@_model.register
def _regression_tree(estimator: DecisionTreeRegressor, features: Sequence[str], target: str) -> ET.Element:
    def leaf(element: ET.Element, node: int) -> None:
        element.set("score", _number(estimator.tree_.value[node][0][0]))

    return _tree(estimator, features, target, "regression", leaf)


@_model.register
def _forest(estimator: RandomForestClassifier, features: Sequence[str], target: str) -> ET.Element:
    model = ET.Element("MiningModel", functionName="classification")
    model.append(_mining_schema(features, target))
    segmentation = ET.SubElement(model, "Segmentation", multipleModelMethod="average")
    for number, tree in enumerate(estimator.estimators_, start=1):
        segment = ET.SubElement(segmentation, "Segment", id=str(number))
        ET.SubElement(segment, "True")
        # A forest's trees predict the index of a class; the class is what a document names.
        tree.classes_ = estimator.classes_
        segment.append(_classification_tree(tree, features, target))
    return model


@_model.register
def _linear(estimator: LinearRegression, features: Sequence[str], target: str) -> ET.Element:
    model = ET.Element("RegressionModel", functionName="regression")
    model.append(_mining_schema(features, target))
    table = ET.SubElement(model, "RegressionTable", intercept=_number(estimator.intercept_))
    for feature, coefficient in zip(features, estimator.coef_, strict=True):
        ET.SubElement(table, "NumericPredictor", name=feature, coefficient=_number(coefficient))
    return model


@_model.register
def _pipeline(estimator: Pipeline, features: Sequence[str], target: str) -> ET.Element:
    match [step for _, step in estimator.steps]:
        case [StandardScaler() as scaler, MLPClassifier() as network]:
            return _network(scaler, network, features, target)
        case [StandardScaler() as scaler, KMeans() as means]:
            return _clustering(means, scaler.mean_, scaler.scale_, features)
        case steps:
            raise TypeError(f"no PMML is written for a pipeline of {', '.join(type(step).__name__ for step in steps)}")


@_model.register
def _means(estimator: KMeans, features: Sequence[str], target: str) -> ET.Element:
    return _clustering(estimator, np.zeros(len(features)), np.ones(len(features)), features)


def _tree(
    estimator: DecisionTreeClassifier | DecisionTreeRegressor,
    features: Sequence[str],
    target: str,
    function: str,
    leaf: Callable[[ET.Element, int], None],
) -> ET.Element:
    """Every inner node has two children that between them take every number, so no record stops halfway."""
    model = ET.Element(
        "TreeModel", functionName=function, splitCharacteristic="binarySplit", missingValueStrategy="nullPrediction"
    )
    model.append(_mining_schema(features, target))
    tree = estimator.tree_

    def grow(parent: ET.Element, node: int, predicate: ET.Element) -> None:
        element = ET.SubElement(parent, "Node", id=str(node))
        element.append(predicate)
        if tree.children_left[node] == _LEAF:
            leaf(element, node)
            return
        feature, threshold = features[tree.feature[node]], _number(_threshold_of_doubles(tree.threshold[node]))
        for child, operator in ((tree.children_left[node], "lessOrEqual"), (tree.children_right[node], "greaterThan")):
            grow(element, child, ET.Element("SimplePredicate", field=feature, operator=operator, value=threshold))

    grow(model, 0, ET.Element("True"))
    return model


def _threshold_of_doubles(threshold: float) -> float:
    """The largest double that scikit-learn, which compares float32(x) with the threshold, still sends to the left.

    Without this a record whose value is the threshold to its last reported digit takes the other branch: float32(0.58)
    is 0.5799999833, and 0.58 is more.
    """
    below = np.float32(threshold)
    if float(below) > threshold:
        below = np.nextafter(below, np.float32(-np.inf))
    above = np.nextafter(below, np.float32(np.inf))
    middle = (float(below) + float(above)) / 2
    # Halfway between two floats rounds to the even one.
    return middle if np.float32(middle) == below else float(np.nextafter(middle, -np.inf))


def _network(scaler: StandardScaler, network: MLPClassifier, features: Sequence[str], target: str) -> ET.Element:
    """The scaler becomes the input normalisation: a line through (mean, 0) and (mean + deviation, 1)."""
    if network.out_activation_ != "softmax" or network.activation not in {"logistic", "tanh"}:
        raise TypeError("no PMML is written for a network other than logistic or tanh layers under a softmax")
    model = ET.Element("NeuralNetwork", functionName="classification", activationFunction=network.activation)
    model.append(_mining_schema(features, target))
    inputs = ET.SubElement(model, "NeuralInputs")
    for column, (feature, mean, scale) in enumerate(zip(features, scaler.mean_, scaler.scale_, strict=True)):
        derived = ET.SubElement(
            ET.SubElement(inputs, "NeuralInput", id=f"0,{column}"),
            "DerivedField",
            optype="continuous",
            dataType="double",
        )
        norm = ET.SubElement(derived, "NormContinuous", field=feature)
        ET.SubElement(norm, "LinearNorm", orig=_number(mean), norm="0")
        ET.SubElement(norm, "LinearNorm", orig=_number(mean + scale), norm="1")
    last = len(network.coefs_)
    for number, (weights, biases) in enumerate(zip(network.coefs_, network.intercepts_, strict=True), start=1):
        layer = ET.SubElement(model, "NeuralLayer")
        if number == last:
            layer.set("activationFunction", "identity")
            layer.set("normalizationMethod", "softmax")
        for column, bias in enumerate(biases):
            neuron = ET.SubElement(layer, "Neuron", id=f"{number},{column}", bias=_number(bias))
            for source, weight in enumerate(weights[:, column]):
                ET.SubElement(neuron, "Con", {"from": f"{number - 1},{source}", "weight": _number(weight)})
    outputs = ET.SubElement(model, "NeuralOutputs")
    for column, label in enumerate(_labels(network.classes_)):
        output = ET.SubElement(outputs, "NeuralOutput", outputNeuron=f"{last},{column}")
        derived = ET.SubElement(output, "DerivedField", optype="categorical", dataType="string")
        ET.SubElement(derived, "NormDiscrete", field=target, value=label)
    return model


def _clustering(means: KMeans, mean: Iterable[float], scale: Iterable[float], features: Sequence[str]) -> ET.Element:
    """Centres in the records' own units; the scaling is the weight of a field in the squared distance."""
    offsets, scales = np.asarray(mean), np.asarray(scale)
    model = ET.Element(
        "ClusteringModel",
        functionName="clustering",
        modelClass="centerBased",
        numberOfClusters=str(len(means.cluster_centers_)),
    )
    model.append(_mining_schema(features, None))
    measure = ET.SubElement(model, "ComparisonMeasure", kind="distance", compareFunction="absDiff")
    ET.SubElement(measure, "squaredEuclidean")
    for feature, size in zip(features, scales, strict=True):
        ET.SubElement(
            model, "ClusteringField", field=feature, fieldWeight=_number(1.0 / size**2), compareFunction="absDiff"
        )
    for number, centre in enumerate(means.cluster_centers_ * scales + offsets):
        cluster = ET.SubElement(model, "Cluster", id=str(number), name=f"cluster {number}")
        array = ET.SubElement(cluster, "Array", n=str(len(features)), type="real")
        array.text = " ".join(map(_number, centre))
    return model


def _mining_schema(features: Sequence[str], target: str | None) -> ET.Element:
    schema = ET.Element("MiningSchema")
    if target is not None:
        ET.SubElement(schema, "MiningField", name=target, usageType="target")
    for feature in features:
        ET.SubElement(schema, "MiningField", name=feature)
    return schema


def _class_outputs(classes: Sequence[str]) -> ET.Element:
    output = ET.Element("Output")
    for label in classes:
        ET.SubElement(
            output,
            "OutputField",
            name=f"probability({label})",
            optype="continuous",
            dataType="double",
            feature="probability",
            value=label,
        )
    return output


def _classes(estimator: object) -> tuple[str, ...]:
    """The labels of a classifier, in its own order; empty for everything else."""
    return _labels(estimator.classes_) if hasattr(estimator, "classes_") else ()


def _is_clustering(estimator: object) -> bool:
    return isinstance(estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator, KMeans)


def _labels(classes: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(label) for label in classes)


def _number(value: float) -> str:
    """The shortest decimal that reads back as the same double."""
    return repr(float(value)).removesuffix(".0")
