"""Tests of datasets_app.views."""
