"""Tests of datasets_app/store."""
