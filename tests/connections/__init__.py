"""Connections: the service, its secrets, the pages and the API."""
