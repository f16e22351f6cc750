"""Views of the catalogue: values in, response shapes out, no I/O."""
