"""Runners, each against the real thing."""
