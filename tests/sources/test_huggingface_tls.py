"""A mirror of the Hub behind TLS, through the guard."""

from pathlib import Path

import pytest

from datasets_app.sources.base import Cause, Route, Settings, SourceError
from datasets_app.sources.registry import PROVIDERS
from tests.sources.contract import cause_of, list_all
from tests.sources.doubles import hub
from tests.sources.hub_double import Hub
from tests.sources.tls_front import make_certificate, serve_tls

__all__ = ["hub"]


def test_certificates_and_redirects_to_plain_addresses(hub: Hub, guarded_route: Route, tmp_path: Path) -> None:
    hub.add_repository("ada/cats", {"a.bin": b"in LFS", "b.txt": b"in git"})
    root, certificate = make_certificate(tmp_path)
    bundle = tmp_path / "root.pem"
    bundle.write_text(root)
    provider = PROVIDERS["huggingface"]
    with serve_tls(certificate, hub.port) as port, serve_tls(certificate, hub.cdn.port) as cdn_port:
        settings = provider.clean(Settings({"endpoint": f"https://127.0.0.1:{port}"}))
        with pytest.raises(SourceError, match="certificate that is not trusted") as error:
            provider.connect(settings, guarded_route).open("ada/cats")
        assert cause_of(error) == Cause.UNREACHABLE

        source = provider.connect(settings, Route(proxy=guarded_route.proxy, ca_bundle=bundle))
        tree = source.open("ada/cats")
        files = list_all(tree)
        assert bytes(tree.fetch(files["b.txt"])) == b"in git"
        with pytest.raises(SourceError, match="not encrypted"):
            tree.fetch(files["a.bin"])
        assert not hub.cdn.requests
        hub.fail("/resolve/", status=302, headers={"Location": f"https://127.0.0.1:{cdn_port}/repos/x"})
        hub.cdn.fail("", status=200, body=b"in LFS")
        assert bytes(tree.fetch(files["a.bin"])) == b"in LFS"
        steps = {step.name: step for step in source.check("ada/cats/b.txt")}
        assert all(step.ok for step in steps.values()), steps
        assert "encrypted, with a certificate" in steps["Connect"].detail
