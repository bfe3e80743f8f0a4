"""The stages of Algorithm 1: decisions, actions, edits."""
