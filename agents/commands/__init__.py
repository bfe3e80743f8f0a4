"""The command `n2n`, a file a sub-command."""
