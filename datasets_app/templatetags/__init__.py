"""How templates write figures, times and icons."""
