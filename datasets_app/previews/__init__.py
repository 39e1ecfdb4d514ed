"""Previews: one file for each kind of content, and a registry. Plain Python, without Django."""
