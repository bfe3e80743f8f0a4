"""The Gymnasium environments; `import n2n_gym` registers them."""
