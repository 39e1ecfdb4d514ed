"""Tests; the folders mirror the application."""
