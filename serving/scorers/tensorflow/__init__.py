"""TensorFlow models, through the C library of the TensorFlow wheel and without ever importing TensorFlow.

    archive      a zip or tar of a SavedModel -> its few known files, in memory
    frozen       a frozen GraphDef -> a `ServableGraph`: which tensors go in, which come out
    saved_model  the files of a SavedModel -> a `ServableGraph`: one signature, with its variables put in
    bundle       the files of a checkpoint -> the bytes of its variables
    screen       refuses what no model may do, before TensorFlow sees any of it
    servable     what all of these lead to: a pruned, screened graph and its named inputs and outputs
    program      a graph as a straight line of nodes; `straighten` makes it (with `folding`), `fusion` shortens it
    quickening   when a heavy graph is served as such a program
    giving_way   threads of heavy models have a low priority
    capi         sessions of the C library
    scorer       columns in, columns out
    engine       the two engines

A model is a program. Here it is read as data (protobuf) until it has passed the screen; what reaches TensorFlow can compute,
and nothing else: no file, no network, no Python, no recursion.
"""
