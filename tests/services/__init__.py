"""Tests of datasets_app.services."""
