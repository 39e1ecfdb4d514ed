"""How Python looks for garbage in processes that serve for long and make many short-lived rows."""

import gc
from typing import Final

# Objects more than before a collection. Python's own 700 are reached by the rows of one page of files.
OBJECTS: Final = 20_000


def freeze_heap() -> None:
    """Leave what is there now out of all collections, and collect less often what is made from now on."""
    gc.freeze()
    gc.set_threshold(OBJECTS)
