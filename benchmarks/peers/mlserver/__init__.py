"""MLServer with its Kafka transport and a runtime of our own for PMML."""
