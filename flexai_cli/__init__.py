"""The `flexai` command: talks to the HTTP API only, and imports nothing of the server."""
