"""Versions: sealing, and what is inside them."""
