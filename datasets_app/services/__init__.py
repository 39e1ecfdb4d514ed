"""Use cases: one file per noun, one verb per function. The only place that changes state."""
