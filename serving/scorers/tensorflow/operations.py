"""The operations that a model may use: everything else is refused.

An allow-list, because no property of an operation tells whether it is safe: of TensorFlow's 1,799 operations 541 are marked
stateful, yet `ReadFile`, `MatchingFiles` and `DebugIdentity` are not among them. What is on the list computes outputs from
inputs and touches nothing else. To serve a model that needs one more, add it here after reading its kernel.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ELEMENTWISE = _words("""
    Abs Acos Acosh Add AddN AddV2 Asin Asinh Atan Atan2 Atanh BitwiseAnd BitwiseOr BitwiseXor Cast Ceil CheckNumerics
    ClipByValue Cos Cosh Digamma Div DivNoNan Elu Equal Erf Erfc Erfinv Exp Expm1 Floor FloorDiv FloorMod Greater
    GreaterEqual Inv Invert IsFinite IsInf IsNan LeakyRelu LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot
    LogicalOr Maximum Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Pow RealDiv Reciprocal Relu Relu6 RightShift
    Rint Round Rsqrt Select SelectV2 Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square SquaredDifference Sub Tan
    Tanh TruncateDiv TruncateMod Xdivy Xlog1py Xlogy
    """)

REDUCTIONS = _words("""
    All Any ArgMax ArgMin Cumprod Cumsum L2Loss LogSoftmax Max Mean Min Prod SegmentMax SegmentMean SegmentMin SegmentProd
    SegmentSum Softmax Sum TopK TopKV2 Unique UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
    UnsortedSegmentSum UpperBound LowerBound
    """)

SHAPES = _words("""
    BatchToSpaceND BroadcastArgs BroadcastTo Bucketize Concat ConcatOffset ConcatV2 DepthToSpace Diag DiagPart
    DynamicPartition DynamicStitch EnsureShape ExpandDims Fill Gather GatherNd GatherV2 InvertPermutation LinSpace
    MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV3 MatrixDiagV3 MirrorPad OneHot OnesLike Pack Pad PadV2
    ParallelDynamicStitch Range Rank Reshape Reverse ReverseSequence ReverseV2 Roll ScatterNd Shape ShapeN Size Slice
    SpaceToBatchND SpaceToDepth Split SplitV Squeeze StridedSlice TensorScatterAdd TensorScatterUpdate Tile Transpose
    Unpack Where ZerosLike
    """)

NETWORKS = _words("""
    AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd BlockLSTM BlockLSTMV2 Conv2D Conv2DBackpropInput
    Conv3D DepthwiseConv2dNative Einsum FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 GRUBlockCell LRN LSTMBlockCell
    MatMul MaxPool MaxPool3D MaxPoolV2 ResizeBilinear ResizeNearestNeighbor
    """)

STRUCTURE = _words("""
    Assert Const Identity IdentityN NoOp Placeholder PlaceholderV2 PlaceholderWithDefault PreventGradient StopGradient
    """)

TEXT = _words("""
    AsString StringJoin StringLength StringLower StringStrip StringToHashBucketFast StringToNumber StringUpper
    """)

LISTS = _words("""
    EmptyTensorList TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem
    TensorListLength TensorListPopBack TensorListPushBack TensorListReserve TensorListResize TensorListSetItem
    TensorListStack TensorArrayV3 TensorArrayReadV3 TensorArrayWriteV3 TensorArrayGatherV3 TensorArrayScatterV3
    TensorArraySizeV3 TensorArrayCloseV3
    """)

CALLS = _words("PartitionedCall StatefulPartitionedCall If StatelessIf Case StatelessCase")

LOOPS = _words("While StatelessWhile Enter Exit NextIteration LoopCond Switch Merge RefSwitch RefMerge")
"""What can run without end, and the branches of the first control flow, which cannot be told from its loops."""

VARIABLES = _words(
    "VarHandleOp ReadVariableOp ResourceGather VariableV2 Variable VarIsInitializedOp IsVariableInitialized"
)

LOADING = _words("""
    Assign AssignVariableOp DisableCopyOnRead MergeV2Checkpoints RandomStandardNormal RandomUniform RegexReplace RestoreV2
    SaveV2 ShardedFilename StaticRegexFullMatch TruncatedNormal
    """)
"""What the saving and restoring functions of an ordinary SavedModel hold. They are screened with it, and never run."""

INFERENCE = ELEMENTWISE | REDUCTIONS | SHAPES | NETWORKS | STRUCTURE | TEXT | LISTS | CALLS | LOOPS
INFERENCE_WITH_VARIABLES = INFERENCE | VARIABLES
ANYWHERE = INFERENCE_WITH_VARIABLES | LOADING

_REACHES_OUT = re.compile(
    "File|PyFunc|Print|Debug|Dataset|Iterator|Save|Restore|Checkpoint|Summary|Send|Recv|Rpc|Xla|Vocab|Reader|Record|Queue"
    "|Barrier|Stage|Bigtable|BigQuery|Remote|Collective|Tpu|Custom"
)


def reaches_out(operation: str) -> bool:
    """The refused operation looks as if it touched files, the network, Python or other machines: hostile, not just unknown."""
    return _REACHES_OUT.search(operation) is not None
