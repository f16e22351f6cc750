"""The systems that are compared, a folder each."""
