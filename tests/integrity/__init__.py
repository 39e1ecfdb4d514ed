"""Integrity: what is damaged is found, named and healed; what is lost can be rebuilt."""
