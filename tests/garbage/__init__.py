"""Garbage collection: what goes, what stays, and that nobody who links is ever in danger."""
