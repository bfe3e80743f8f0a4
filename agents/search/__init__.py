"""Algorithm 1, whole: a compression run."""
