"""Our own worker, as any other system of the comparison."""
