"""Jobs, from the form to the sandbox."""
