"""Image data sets with train, validation and test splits (section 4.1)."""
