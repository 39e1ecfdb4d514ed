"""What every page carries, and how pages are served behind a proxy and below a path."""

import gzip

import pytest
from django.test import Client


@pytest.mark.django_db
def test_pages_forbid_inline_code_and_frames(client: Client) -> None:
    policy = client.get("/sign-in/", follow=True).headers["Content-Security-Policy"]
    assert "script-src 'self' 'wasm-unsafe-eval'" in policy
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.django_db
def test_pages_are_compressed(client: Client) -> None:
    answer = client.get("/sign-in/", headers={"Accept-Encoding": "gzip"}, follow=True)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"<html" in gzip.decompress(answer.content)
