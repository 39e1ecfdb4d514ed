"""Tests that drive a real browser against the running application."""
