"""Remote stores to import from: one file each, and a registry. Plain Python, without Django."""
