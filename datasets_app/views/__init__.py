"""Pages and their htmx parts: forms in, one service call, a template out."""
