"""Decode, score, encode around confluent-kafka, as a good engineer writes it in an afternoon."""
