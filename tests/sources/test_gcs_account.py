"""The key file of a service account: what is accepted, and that nothing of it is ever repeated."""

import json

import pytest

from datasets_app.errors import Invalid
from datasets_app.sources.base import Settings
from datasets_app.sources.gcs import GoogleCloudStorage
from tests.sources.doubles import gcs_backend, gcs_server
from tests.sources.gcs_proxy import GcsServer

__all__ = ["gcs_backend", "gcs_server"]

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def key(gcs_backend: GcsServer) -> dict[str, str]:
    """A key file of Google's."""
    found: dict[str, str] = json.loads(gcs_backend.service_account)
    return found | {"token_uri": "https://oauth2.googleapis.com/token"}


def refuse(text: str, **values: str) -> list[tuple[str, str]]:
    """Return field and detail of what is wrong; fail when a line of the text is repeated."""
    with pytest.raises(Invalid) as error:
        GoogleCloudStorage().clean(Settings({"access": "account", **values}, {"service_account": text}))
    assert error.value.__cause__ is None
    assert not any(part in str(error.value.errors) for part in ("PRIVATE KEY", "MII"))
    return [(item["field"], item["detail"]) for item in error.value.errors]


def test_it_works(key: dict[str, str]) -> None:
    text = json.dumps(key)
    cleaned = GoogleCloudStorage().clean(
        Settings({"access": "account", "billing_project": " a-project "}, {"service_account": f"\n{text}\n"})
    )
    assert cleaned == Settings({"access": "account", "billing_project": "a-project"}, {"service_account": text})
    assert GoogleCloudStorage().clean(cleaned) == cleaned
    assert "service_account" not in cleaned.values


def test_public_access_keeps_no_key(key: dict[str, str]) -> None:
    given = Settings({"access": "public"}, {"service_account": json.dumps(key)})
    assert GoogleCloudStorage().clean(given).secrets == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "authorized_user"}, "authorized_user, not of a service account"),
        ({"type": "external_account", "credential_source": {"executable": {"command": "id"}}}, "external_account"),
        ({"type": 7}, "something else"),
        ({"token_uri": "http://169.254.169.254/token"}, "token_uri"),
        ({"token_uri": "https://oauth2.googleapis.com.evil.example/token"}, "token_uri"),
        ({"universe_domain": "evil.example"}, "another cloud"),
        ({"client_email": ""}, "client_email"),
        ({"client_email": "a@b\r\nX: y"}, "client_email"),
        ({"client_email": ["a"]}, "client_email"),
        ({"private_key": ""}, "private_key"),
        ({"private_key": "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\n"}, "private_key"),
        ({"project_id": "no project"}, "project_id"),
    ],
)
def test_what_is_no_key_file(key: dict[str, str], changes: dict[str, object], words: str) -> None:
    ((field, detail),) = refuse(json.dumps(key | changes))
    assert field == "service_account"
    assert words in detail


@pytest.mark.parametrize("text", ["", "hello", "[]", '{"type": "service_account"', "1"])
def test_what_is_no_json(text: str) -> None:
    ((field, _),) = refuse(text)
    assert field == "service_account"


def test_every_field_that_is_wrong_is_named() -> None:
    assert [field for field, _ in refuse("{}", billing_project="no project!")] == ["billing_project", "service_account"]


def test_a_stranger_can_not_pay() -> None:
    with pytest.raises(Invalid):
        GoogleCloudStorage().clean(Settings({"access": "public", "billing_project": "a-project"}, {}))
