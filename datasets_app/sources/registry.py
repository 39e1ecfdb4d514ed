"""The remote stores there are, in the order of the form. A new one is a file beside this one and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datasets_app.sources.gcs import GoogleCloudStorage
from datasets_app.sources.huggingface import HuggingFaceHub
from datasets_app.sources.s3_profiles import AmazonS3, CloudflareR2, MinIO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets_app.sources.base import Provider

_ALL: Final[tuple[Provider, ...]] = (
    AmazonS3(),
    MinIO(),
    CloudflareR2(),
    GoogleCloudStorage(),
    HuggingFaceHub(),
)
PROVIDERS: Final[Mapping[str, Provider]] = {provider.name: provider for provider in _ALL}
