"""How messages count."""


def counted(count: int, thing: str) -> str:
    """Write "1 file", "2,000 files"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
