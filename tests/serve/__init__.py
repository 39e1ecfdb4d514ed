"""Tests of the processes that `manage.py serve` runs."""
