"""Source paths of stores that have buckets: `bucket/folder`, or `bucket/object` where no such folder holds anything."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A source path: `prefix` as it was given, `folder` the keys' beginning when it is taken for a folder."""

    bucket: str
    prefix: str

    @property
    def folder(self) -> str:
        """The prefix with the "/" that ends a folder; empty for the whole bucket."""
        return self.prefix if not self.prefix or self.prefix.endswith("/") else f"{self.prefix}/"

    @property
    def shown(self) -> str:
        """Both, for messages."""
        return f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket

    def path_of(self, prefix: str) -> str:
        """Return the source path of a folder of this bucket, without its last "/" unless another would be meant."""
        path = prefix if prefix.endswith("//") or prefix == "/" else prefix.removesuffix("/")
        return f"{self.bucket}/{path}"


def read_place(path: str, scheme: str) -> Place:
    """Take a source path apart; people also paste `s3://bucket/folder` (of the `scheme` s3)."""
    bucket, _, prefix = path.removeprefix(f"{scheme}://").lstrip("/").partition("/")
    return Place(bucket, prefix)
