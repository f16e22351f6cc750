"""What the Python peers share: the making of their environments, and modules that their programs import inside them."""
