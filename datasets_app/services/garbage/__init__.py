"""The only deleter: what no version and no upload needs is removed here, and nowhere else.

docs/decisions/0006-garbage.md tells how it stays clear of those who link the same bytes at the same time.
"""

from datasets_app.services.garbage.leftovers import end_expired
from datasets_app.services.garbage.purge import purge_dataset, purge_version
from datasets_app.services.garbage.runs import collect_now, run_collection, start_collection, wake_collections

__all__ = [
    "collect_now",
    "end_expired",
    "purge_dataset",
    "purge_version",
    "run_collection",
    "start_collection",
    "wake_collections",
]
