"""Does the hot path still cost what it did? Figures that a busy machine does not change, held against committed ones."""
