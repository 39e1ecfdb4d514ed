"""Tests of datasets_app.templatetags."""
