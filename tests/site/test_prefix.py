"""The application below a path, behind a TLS proxy."""

from pathlib import Path

import pytest

from tests.servers import answers, serve_with_account

pytestmark = pytest.mark.server


def test_it_works(tmp_path: Path) -> None:
    # The files that other servers of this checkout serve are collected for their addresses.
    variables = {
        "PUBLIC_URL": "https://data.example.org/sets",
        "TRUST_PROXY": "true",
        "STATIC_ROOT": f"{tmp_path}/static",
    }
    with serve_with_account(tmp_path / "data", **variables) as application:
        headers = {"X-Forwarded-Host": "data.example.org", "X-Forwarded-Proto": "https", "Accept": "text/html"}
        # The proxy may pass the path on, or strip it.
        for path in ("/sets/sign-in/", "/sign-in/"):
            status, page = application.request("GET", path, headers=headers)
            assert status == 200
            assert b'href="/sets/static/' in page
            assert b'action="/sets/' in page or b'href="/sets/' in page
        assert answers(f"{application.url}/sets/healthz")
        status, _ = application.request("GET", "/healthz", headers={"X-Forwarded-Host": "evil.example.org"})
        assert status == 400
