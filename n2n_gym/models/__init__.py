"""Architectures as torch modules: the zoo, the builder, the teachers."""
