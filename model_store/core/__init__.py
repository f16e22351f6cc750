"""Values and functions without I/O."""
