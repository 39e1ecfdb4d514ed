"""JSON as a tree that folds. JSON Lines and arrays of objects are tables, in `previews.tables`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import MIB, MOST_ENTRIES, Ask, Kind, Preview, PreviewError, shown
from datasets_app.previews.plain import decode_text

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

MOST_BYTES: Final = 8 * MIB
# How many values the page holds, and how deep they may lie.
MOST_NODES: Final = 3000
DEEPEST: Final = 30
OPEN_DEPTH: Final = 2


class JsonKind(Kind):
    """One JSON value."""

    name: ClassVar[str] = "json"
    label: ClassVar[str] = "JSON"

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask the name, and whether it begins as an object or array."""
        named = name.endswith((".json", ".geojson", ".jsonld", ".topojson"))
        return named and head.lstrip()[:1] in {b"{", b"["} and decode_text(head) is not None

    def is_text(self, head: bytes, name: str) -> bool:  # noqa: ARG002
        """Say yes."""
        return True

    def show(self, reader: Reader, ask: Ask) -> Preview:  # noqa: ARG002
        """Parse it and make the tree."""
        if reader.size > MOST_BYTES:
            raise PreviewError(f"JSON of more than {MOST_BYTES // MIB} MiB is not made into a tree.")
        try:
            value = json.loads(reader.read(0, reader.size))
        except RecursionError:
            raise PreviewError("This JSON is nested too deeply.") from None
        except ValueError as error:
            raise PreviewError(f"This is no valid JSON: {error}.") from None
        budget = [MOST_NODES]
        tree = _node("", value, 0, budget)
        notes = [] if budget[0] > 0 else [f"Only the first {MOST_NODES} values are shown."]
        kind = "object" if isinstance(value, dict) else "array"
        return Preview("application/json", facts=[("Top level", f"{kind} of {len(value)}")], data=tree, notes=notes)


def _node(key: str, value: object, depth: int, budget: list[int]) -> dict[str, Any]:
    budget[0] -= 1
    if isinstance(value, dict | list) and depth < DEEPEST:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        children: list[dict[str, Any]] = []
        for name, child in pairs:
            if budget[0] <= 0 or len(children) >= MOST_ENTRIES:
                break
            children.append(_node(shown(name, 100), child, depth + 1, budget))
        signs = "{}" if isinstance(value, dict) else "[]"
        return {
            "key": key,
            "signs": signs,
            "count": len(value),
            "left_out": len(value) - len(children),
            "children": children,
            "is_open": depth < OPEN_DEPTH and len(children) <= 100,  # noqa: PLR2004
        }
    kind = {str: "string", bool: "constant", type(None): "constant"}.get(type(value), "number")
    return {"key": key, "kind": kind, "value": shown(json.dumps(value, ensure_ascii=False), 500)}
