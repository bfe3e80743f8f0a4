"""How networks are trained (sections 3.5 and 4.2)."""
