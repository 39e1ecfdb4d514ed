"""Tests of settings, logs, queue and probes."""
