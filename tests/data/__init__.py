"""The data layer: what the database itself guarantees."""
