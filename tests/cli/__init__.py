"""Tests of the `flexai` command and the Python client."""
