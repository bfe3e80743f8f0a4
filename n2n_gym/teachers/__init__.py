"""Trained teachers."""
