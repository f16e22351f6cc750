"""Small PMML documents for tests, drawn at random from a seed: the writer that the oracle and the engine are held against.

Each function returns a whole document. Models have the fields `x0` to `x3` (double) unless said otherwise, and the target
`y`. What a function leaves to the test is an argument; what is not an argument is drawn, so that two seeds give two models.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

NUMBERS = ("x0", "x1", "x2", "x3")
CLASSES = ("3", "4", "5", "6")


def document(dictionary: str, model: str, before: str = "", version: str = "4.3") -> bytes:
    """A document of one model. `before` goes before the model: a `TransformationDictionary`, for instance."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<PMML xmlns="http://www.dmg.org/PMML-{version.replace(".", "_")}" '
        f'version="{version}"><Header/><DataDictionary>{dictionary}</DataDictionary>{before}{model}</PMML>'
    ).encode()


def field(name: str, data_type: str = "double", values: Sequence[str] = (), inner: str = "") -> str:
    """A `DataField`; one with values is categorical."""
    optype = "categorical" if values or data_type in ("string", "boolean") else "continuous"
    listed = "".join(f'<Value value="{value}"/>' for value in values)
    return f'<DataField name="{name}" optype="{optype}" dataType="{data_type}">{listed}{inner}</DataField>'


def numbers() -> str:
    """The fields `x0` to `x3`."""
    return "".join(map(field, NUMBERS))


def schema(names: Sequence[str] = NUMBERS, target: str | None = "y", **treatment: str) -> str:
    """A `MiningSchema`; `treatment` becomes attributes of every active field."""
    extra = "".join(f' {key}="{value}"' for key, value in treatment.items())
    aim = f'<MiningField name="{target}" usageType="target"/>' if target else ""
    return (
        "<MiningSchema>" + aim + "".join(f'<MiningField name="{name}"{extra}/>' for name in names) + "</MiningSchema>"
    )


def threshold(name: str, sign: str, value: float | str) -> str:
    """A `SimplePredicate`."""
    return f'<SimplePredicate field="{name}" operator="{sign}" value="{value}"/>'


class TreeWriter:
    """Writes random trees over numeric fields.

    Args:
        classes: The labels of a classification; empty for a regression.
        is_sparse: Leaves do not mention classes that have no record in them, as some exporters write them.
        attributes: Of the `TreeModel` element.
    """

    def __init__(
        self,
        seed: int,
        classes: Sequence[str] = CLASSES,
        depth: int = 4,
        is_sparse: bool = True,
        attributes: str = "",
        names: Sequence[str] = NUMBERS,
    ) -> None:
        self._random = Random(seed)
        self._classes = classes
        self._depth = depth
        self._is_sparse = is_sparse
        self._attributes = attributes
        self._names = names
        self._count = 0

    def model(self, mining_schema: str) -> str:
        """A `TreeModel` with a tree of its own."""
        function = "classification" if self._classes else "regression"
        root = self._node("<True/>", self._depth)
        return (
            f'<TreeModel functionName="{function}" splitCharacteristic="binarySplit"{self._attributes}>'
            f"{mining_schema}{root}</TreeModel>"
        )

    def _node(self, predicate: str, depth: int) -> str:
        self._count += 1
        name = f"n{self._count}"
        content = self._content()
        if depth == 0 or (depth < self._depth and self._random.random() < 0.15):
            return f'<Node id="{name}"{content[0]}>{predicate}{content[1]}</Node>'
        field_name, cut = self._random.choice(self._names), round(self._random.gauss(0, 1), 3)
        left_id = f"n{self._count + 1}"
        left = self._node(threshold(field_name, "lessOrEqual", cut), depth - 1)
        right = self._node(threshold(field_name, "greaterThan", cut), depth - 1)
        return f'<Node id="{name}" defaultChild="{left_id}"{content[0]}>{predicate}{content[1]}{left}{right}</Node>'

    def _content(self) -> tuple[str, str]:
        if not self._classes:
            return f' score="{self._random.gauss(5, 1)!r}"', ""
        counts = {name: self._random.randint(1, 30) for name in self._classes if self._random.random() < 0.6}
        counts = counts or {self._random.choice(self._classes): 3}
        if not self._is_sparse:
            counts = {name: counts.get(name, 0) for name in self._classes}
        most = max(counts, key=lambda name: counts[name])
        while list(counts.values()).count(counts[most]) > 1:
            counts[most] += 1
        distribution = "".join(f'<ScoreDistribution value="{k}" recordCount="{n}"/>' for k, n in counts.items())
        return f' score="{most}" recordCount="{sum(counts.values())}"', distribution


def tree(
    seed: int, classes: Sequence[str] = CLASSES, attributes: str = "", label_type: str = "string", **kw: int
) -> bytes:
    """A tree; a regression tree with `classes=()`."""
    target = field("y", label_type, classes) if classes else field("y")
    return document(target + numbers(), TreeWriter(seed, classes, attributes=attributes, **kw).model(schema()))


def forest(
    seed: int,
    classes: Sequence[str] = CLASSES,
    trees: int = 5,
    method: str = "average",
    segment_target: str | None = None,
    label_type: str = "string",
    depth: int = 4,
) -> bytes:
    """A forest whose segments, unless told otherwise, do not name their target: what PMML4S misreads."""
    target = field("y", label_type, classes) if classes else field("y")
    function = "classification" if classes else "regression"
    random = Random(seed)
    segments = "".join(
        f'<Segment id="{k}" weight="{random.randint(1, 5)}"><True/>'
        f"{TreeWriter(seed * 1000 + k, classes, depth).model(schema(target=segment_target))}</Segment>"
        for k in range(trees)
    )
    return document(
        target + numbers(),
        f'<MiningModel functionName="{function}">{schema()}'
        f'<Segmentation multipleModelMethod="{method}">{segments}</Segmentation></MiningModel>',
    )


def linear(seed: int, normalisation: str = "none", targets: str = "", **treatment: str) -> bytes:
    """A linear regression with a square, a product and a categorical predictor `colour`."""
    random = Random(seed)
    terms = "".join(f'<NumericPredictor name="{name}" coefficient="{random.gauss(0, 1)!r}"/>' for name in NUMBERS)
    terms += f'<NumericPredictor name="x0" exponent="2" coefficient="{random.gauss(0, 0.2)!r}"/>'
    terms += "".join(
        f'<CategoricalPredictor name="colour" value="{value}" coefficient="{random.gauss(0, 1)!r}"/>'
        for value in ("red", "white")
    )
    terms += f'<PredictorTerm coefficient="{random.gauss(0, 1)!r}"><FieldRef field="x1"/><FieldRef field="x2"/></PredictorTerm>'
    return document(
        field("y") + numbers() + field("colour", "string", ("red", "white", "rosé")),
        f'<RegressionModel functionName="regression" normalizationMethod="{normalisation}">'
        f"{schema((*NUMBERS, 'colour'), **treatment)}{targets}"
        f'<RegressionTable intercept="{random.gauss(0, 1)!r}">{terms}</RegressionTable></RegressionModel>',
    )


def plain_linear(seed: int) -> bytes:
    """A linear regression over numbers alone."""
    random = Random(seed)
    terms = "".join(f'<NumericPredictor name="{name}" coefficient="{random.gauss(0, 1)!r}"/>' for name in NUMBERS)
    return document(
        field("y") + numbers(),
        f'<RegressionModel functionName="regression">{schema()}'
        f'<RegressionTable intercept="{random.gauss(0, 1)!r}">{terms}</RegressionTable></RegressionModel>',
    )


def logistic(
    seed: int, normalisation: str = "softmax", classes: Sequence[str] = CLASSES, label_type: str = "string"
) -> bytes:
    """A regression model that classifies."""
    random = Random(seed)
    tables = "".join(
        f'<RegressionTable targetCategory="{name}" intercept="{random.gauss(0, 1)!r}">'
        + "".join(f'<NumericPredictor name="{x}" coefficient="{random.gauss(0, 1)!r}"/>' for x in NUMBERS)
        + "</RegressionTable>"
        for name in (classes if normalisation in ("softmax", "simplemax") else classes[:1])
    )
    if normalisation not in ("softmax", "simplemax"):
        tables += f'<RegressionTable targetCategory="{classes[1]}" intercept="0"/>'
    return document(
        field("y", label_type, classes) + numbers(),
        f'<RegressionModel functionName="classification" normalizationMethod="{normalisation}">'
        f"{schema()}{tables}</RegressionModel>",
    )


def general_linear(seed: int, link: str) -> bytes:
    """A generalised linear model with a factor `colour` and an interaction."""
    random = Random(seed)
    parameters = ["p0", *(f"p{k + 1}" for k in range(len(NUMBERS))), "red", "mixed"]
    cells = "".join(
        f'<PPCell value="1" predictorName="{name}" parameterName="p{k + 1}"/>' for k, name in enumerate(NUMBERS)
    )
    cells += '<PPCell value="red" predictorName="colour" parameterName="red"/>'
    cells += '<PPCell value="red" predictorName="colour" parameterName="mixed"/>'
    cells += '<PPCell value="1" predictorName="x0" parameterName="mixed"/>'
    betas = "".join(f'<PCell parameterName="{name}" df="1" beta="{random.gauss(0, 0.3)!r}"/>' for name in parameters)
    return document(
        field("y") + numbers() + field("colour", "string", ("red", "white")),
        f'<GeneralRegressionModel functionName="regression" modelType="generalizedLinear" linkFunction="{link}">'
        f"{schema((*NUMBERS, 'colour'))}"
        f"<ParameterList>{''.join(f'<Parameter name={chr(34)}{name}{chr(34)}/>' for name in parameters)}</ParameterList>"
        '<FactorList><Predictor name="colour"/></FactorList>'
        f"<CovariateList>{''.join(f'<Predictor name={chr(34)}{name}{chr(34)}/>' for name in NUMBERS)}</CovariateList>"
        f"<PPMatrix>{cells}</PPMatrix><ParamMatrix>{betas}</ParamMatrix></GeneralRegressionModel>",
    )


def network(seed: int, activation: str = "logistic", classes: Sequence[str] = CLASSES) -> bytes:
    """A network with one hidden layer; a regression with `classes=()`."""
    random = Random(seed)
    inputs = "".join(
        f'<NeuralInput id="i{k}"><DerivedField optype="continuous" dataType="double"><NormContinuous field="{name}">'
        '<LinearNorm orig="-2" norm="-1"/><LinearNorm orig="2" norm="1"/></NormContinuous></DerivedField></NeuralInput>'
        for k, name in enumerate(NUMBERS)
    )

    def layer(prefix: str, count: int, sources: Sequence[str], attributes: str) -> str:
        neurons = "".join(
            f'<Neuron id="{prefix}{k}" bias="{random.gauss(0, 1)!r}">'
            + "".join(f'<Con from="{source}" weight="{random.gauss(0, 1)!r}"/>' for source in sources)
            + "</Neuron>"
            for k in range(count)
        )
        return f"<NeuralLayer{attributes}>{neurons}</NeuralLayer>"

    hidden = layer("h", 5, [f"i{k}" for k in range(len(NUMBERS))], f' activationFunction="{activation}"')
    last = ' activationFunction="identity"' + (' normalizationMethod="softmax"' if classes else "")
    output = layer("o", len(classes) or 1, [f"h{k}" for k in range(5)], last)
    if classes:
        outputs = "".join(
            f'<NeuralOutput outputNeuron="o{k}"><DerivedField optype="categorical" dataType="string">'
            f'<NormDiscrete field="y" value="{name}"/></DerivedField></NeuralOutput>'
            for k, name in enumerate(classes)
        )
    else:
        outputs = (
            '<NeuralOutput outputNeuron="o0"><DerivedField optype="continuous" dataType="double">'
            '<FieldRef field="y"/></DerivedField></NeuralOutput>'
        )
    target = field("y", "string", classes) if classes else field("y")
    function = "classification" if classes else "regression"
    return document(
        target + numbers(),
        f'<NeuralNetwork functionName="{function}" activationFunction="{activation}">{schema()}'
        f"<NeuralInputs>{inputs}</NeuralInputs>{hidden}{output}<NeuralOutputs>{outputs}</NeuralOutputs></NeuralNetwork>",
    )


def clusters(seed: int, measure: str = "squaredEuclidean", count: int = 4) -> bytes:
    """Centre-based clusters."""
    random = Random(seed)
    fields = "".join(f'<ClusteringField field="{name}" compareFunction="absDiff"/>' for name in NUMBERS)
    centres = "".join(
        f'<Cluster id="c{k}" name="cluster {k}"><Array n="{len(NUMBERS)}" type="real">'
        + " ".join(repr(random.gauss(0, 1)) for _ in NUMBERS)
        + "</Array></Cluster>"
        for k in range(count)
    )
    return document(
        numbers(),
        f'<ClusteringModel functionName="clustering" modelClass="centerBased" numberOfClusters="{count}">'
        f'{schema(target=None)}<ComparisonMeasure kind="distance"><{measure}/></ComparisonMeasure>{fields}{centres}'
        "</ClusteringModel>",
    )


def boosted(seed: int, trees: int = 4) -> bytes:
    """A chain, as gradient boosting is written: a sum of regression trees, then a logistic regression over it."""
    segments = "".join(
        f'<Segment id="t{k}"><True/>{TreeWriter(seed * 1000 + k, ()).model(schema(target=None))}</Segment>'
        for k in range(trees)
    )
    first = (
        f'<Segment id="1"><True/><MiningModel functionName="regression">{schema(target=None)}'
        '<Output><OutputField name="margin" optype="continuous" dataType="double" feature="predictedValue"/>'
        f'</Output><Segmentation multipleModelMethod="sum">{segments}</Segmentation></MiningModel></Segment>'
    )
    second = (
        '<Segment id="2"><True/><RegressionModel functionName="classification" normalizationMethod="logit">'
        '<MiningSchema><MiningField name="y" usageType="target"/><MiningField name="margin"/></MiningSchema>'
        '<RegressionTable targetCategory="good" intercept="-20.5">'
        '<NumericPredictor name="margin" coefficient="1"/></RegressionTable>'
        '<RegressionTable targetCategory="bad" intercept="0"/></RegressionModel></Segment>'
    )
    return document(
        field("y", "string", ("good", "bad")) + numbers(),
        f'<MiningModel functionName="classification">{schema()}'
        f'<Segmentation multipleModelMethod="modelChain">{first}{second}</Segmentation></MiningModel>',
    )


def mixed_tree(attributes: str = "", text_treatment: str = "") -> bytes:
    """A hand-made tree over a text, an integer, a boolean and a number, with sets and compound predicates."""
    dictionary = (
        field("y", "string", ("yes", "no", "perhaps"))
        + field("colour", "string", ("red", "white", "rosé"))
        + field("age", "integer")
        + field("organic", "boolean")
        + field("x0")
    )
    mining = (
        '<MiningSchema><MiningField name="y" usageType="target"/>'
        f'<MiningField name="colour"{text_treatment}/><MiningField name="age"/><MiningField name="organic"/>'
        '<MiningField name="x0"/></MiningSchema>'
    )

    def leaf(label: str, predicate: str, inner: str = "", extra: str = "") -> str:
        shares = {"yes": 1, "no": 1, "perhaps": 1} | {label: 7}
        distribution = "".join(f'<ScoreDistribution value="{k}" recordCount="{n}"/>' for k, n in shares.items())
        return f'<Node score="{label}" recordCount="9"{extra}>{predicate}{distribution}{inner}</Node>'

    reds = (
        '<SimpleSetPredicate field="colour" booleanOperator="isIn">'
        '<Array n="2" type="string">"red" "rosé"</Array></SimpleSetPredicate>'
    )
    others = reds.replace('"isIn"', '"isNotIn"')
    old_and_organic = (
        f'<CompoundPredicate booleanOperator="and">{threshold("age", "greaterThan", 5)}'
        f"{threshold('organic', 'equal', 'true')}</CompoundPredicate>"
    )
    young_or_big = (
        f'<CompoundPredicate booleanOperator="or">{threshold("age", "lessOrEqual", 5)}'
        f"{threshold('x0', 'greaterThan', 0.5)}</CompoundPredicate>"
    )
    by_surrogate = (
        f'<CompoundPredicate booleanOperator="surrogate">{threshold("x0", "greaterThan", 0)}'
        f"{threshold('organic', 'equal', 'true')}<False/></CompoundPredicate>"
    )
    red = leaf(
        "yes", reds, leaf("yes", old_and_organic) + leaf("no", young_or_big) + leaf("perhaps", "<True/>"), ' id="red"'
    )
    other = leaf("no", others, leaf("yes", by_surrogate) + leaf("perhaps", "<True/>"), ' id="other"')
    return document(
        dictionary,
        f'<TreeModel functionName="classification" splitCharacteristic="multiSplit"{attributes}>{mining}'
        f"{leaf('perhaps', '<True/>', red + other, ' defaultChild=' + chr(34) + 'red' + chr(34))}</TreeModel>",
    )


def transformed(seed: int) -> bytes:
    """A linear regression over derived fields: maps, bins, norms, functions, a function of the document's own."""
    random = Random(seed)
    before = (
        '<TransformationDictionary><DefineFunction name="twice" optype="continuous" dataType="double">'
        '<ParameterField name="a" optype="continuous" dataType="double"/>'
        '<Apply function="*"><FieldRef field="a"/><Constant dataType="double">2</Constant></Apply></DefineFunction>'
        "</TransformationDictionary>"
    )
    rows = "".join(
        f"<row><name>{name}</name><number>{number}</number></row>" for name, number in (("red", 1.5), ("white", -0.5))
    )
    local = (
        '<LocalTransformations><DerivedField name="d0" optype="continuous" dataType="double">'
        '<NormContinuous field="x0" outliers="asExtremeValues" mapMissingTo="0.25"><LinearNorm orig="-1" norm="0"/>'
        '<LinearNorm orig="0.5" norm="2"/><LinearNorm orig="1" norm="3"/></NormContinuous></DerivedField>'
        '<DerivedField name="d1" optype="continuous" dataType="double"><MapValues outputColumn="number" defaultValue="9"'
        ' mapMissingTo="-9" dataType="double"><FieldColumnPair field="colour" column="name"/>'
        f"<InlineTable>{rows}</InlineTable></MapValues></DerivedField>"
        '<DerivedField name="d2" optype="continuous" dataType="double"><Discretize field="x1" dataType="double">'
        '<DiscretizeBin binValue="1"><Interval closure="openClosed" leftMargin="-1" rightMargin="0"/></DiscretizeBin>'
        '<DiscretizeBin binValue="2"><Interval closure="openOpen" leftMargin="0"/></DiscretizeBin></Discretize></DerivedField>'
        '<DerivedField name="d3" optype="continuous" dataType="double"><Apply function="if"><Apply function="greaterThan">'
        '<FieldRef field="x2"/><Constant dataType="double">0</Constant></Apply><Apply function="ln"><Apply function="+">'
        '<FieldRef field="x2"/><Constant dataType="double">1</Constant></Apply></Apply>'
        '<Apply function="twice"><FieldRef field="x2"/></Apply></Apply></DerivedField></LocalTransformations>'
    )
    terms = "".join(f'<NumericPredictor name="d{k}" coefficient="{random.gauss(0, 1)!r}"/>' for k in range(4))
    names = ("x0", "x1", "x2", "colour")
    return document(
        field("y") + field("x0") + field("x1") + field("x2") + field("colour", "string"),
        f'<RegressionModel functionName="regression">{schema(names)}{local}'
        f'<RegressionTable intercept="0.5">{terms}</RegressionTable></RegressionModel>',
        before,
    )
