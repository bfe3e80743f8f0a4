"""Networks by name, as architectures."""
