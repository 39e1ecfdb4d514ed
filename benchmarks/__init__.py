"""Side-by-side measurements: this server beside other tools on the same bytes, and its data layer at a million rows."""
