"""The systems that are compared, each a program of its own that reads one topic and writes another."""
