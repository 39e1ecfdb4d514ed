"""Imports from remote stores."""
