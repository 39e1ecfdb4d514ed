"""Tests of datasets_app.previews."""
