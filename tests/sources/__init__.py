"""Tests of the remote stores, the guard between, and the contract that all sources keep."""
