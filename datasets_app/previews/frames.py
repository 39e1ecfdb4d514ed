"""What the two sides of a preview's pipes agree on: frames of a letter, a length (4 bytes, big-endian) and a body.

Apart from `process`, since the worker needs no more of it: what a worker imports, every first view waits for.
"""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = struct.Struct(">cI")
# The body of a request for bytes: number of the file, offset, length.
RANGE: Final = struct.Struct(">IQQ")
MOST_FRAME: Final = 64 * 2**20
