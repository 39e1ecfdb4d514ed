"""The application below a path, behind a TLS proxy."""

from pathlib import Path

import pytest

from tests.servers import answers, serve_application

pytestmark = pytest.mark.server


def test_it_works(tmp_path: Path) -> None:
    variables = {"PUBLIC_URL": "https://data.example.org/sets", "TRUST_PROXY": "true"}
    with serve_application(tmp_path / "data", **variables) as application:
        application.bootstrap()
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
