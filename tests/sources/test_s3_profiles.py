"""The forms of the S3 family: what they take, and what becomes of it."""

import pytest

from datasets_app.errors import Invalid
from datasets_app.sources.base import Route, Settings
from datasets_app.sources.registry import PROVIDERS
from datasets_app.sources.s3_clients import S3Clients
from datasets_app.sources.s3_profiles import AmazonS3, CloudflareR2, MinIO, Profile
from tests.sources.tls_front import make_certificate

ACCOUNT = "0123456789abcdef0123456789abcdef"
KEYS = {"access_key": " AKIA "}
SECRETS = {"secret_key": " s3cr3t\n"}


def wrong_fields(provider: AmazonS3 | MinIO | CloudflareR2, **values: str) -> set[str]:
    """Return the fields that are refused."""
    with pytest.raises(Invalid) as error:
        provider.clean(Settings({**KEYS, **values}, SECRETS))
    return {item["field"] for item in error.value.errors}


def profile(provider: AmazonS3 | MinIO | CloudflareR2, **values: str) -> Profile:
    """Return what becomes of the form."""
    return provider.profile(provider.clean(Settings({**KEYS, **values}, SECRETS)), Route())


@pytest.mark.parametrize("name", ["s3", "minio", "r2"])
def test_every_provider_tells_its_fields(name: str) -> None:
    provider = PROVIDERS[name]
    assert provider.name == name
    assert provider.label
    assert provider.path_help
    assert not provider.has_revisions
    names = [field.name for field in provider.fields]
    assert len(set(names)) == len(names)
    assert {field.name for field in provider.fields if field.kind == "secret"} == {"secret_key", "session_token"}
    assert all(field.choices for field in provider.fields if field.kind == "choice")


def test_no_secret_is_in_what_is_shown() -> None:
    made = profile(MinIO(), endpoint="https://minio.example.org")
    assert (made.access_key, made.secret_key) == ("AKIA", "s3cr3t")
    assert "s3cr3t" not in repr(made)


@pytest.mark.parametrize("provider", [AmazonS3(), MinIO(), CloudflareR2()])
def test_keys_are_needed(provider: AmazonS3 | MinIO | CloudflareR2) -> None:
    values = {"endpoint": "https://minio.example.org", "account_id": ACCOUNT}
    with pytest.raises(Invalid) as error:
        provider.clean(Settings(values))
    assert {item["field"] for item in error.value.errors} == {"access_key", "secret_key"}


def test_who_needs_no_keys_keeps_none() -> None:
    cleaned = AmazonS3().clean(Settings({"access": "public", **KEYS}, {**SECRETS, "session_token": "t"}))
    assert (cleaned.values["access_key"], dict(cleaned.secrets)) == ("", {})


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ("https://minio.example.org", "https://minio.example.org"),
        ("http://MINIO:9000/", "http://minio:9000"),
        ("minio.example.org:9000", "https://minio.example.org:9000"),
        ("https://[fd00::1]:9000", "https://[fd00::1]:9000"),
        ("http://10.0.0.1", "http://10.0.0.1"),
    ],
)
def test_endpoints_are_put_in_order(given: str, endpoint: str) -> None:
    assert profile(MinIO(), endpoint=given).endpoint == endpoint


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ftp://minio",
        "https://",
        "https://user:password@minio",
        "https://minio/bucket",
        "https://minio?x=1",
        "https://minio:99999",
        "https://minio:x",
        "https://mi nio",
        "https://minio\\@evil",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_endpoint_is_said(given: str) -> None:
    assert wrong_fields(MinIO(), endpoint=given) == {"endpoint"}


@pytest.mark.parametrize("region", ["us east", "eu-west-1.evil.example", "x/y", "-", "us-east-1#"])
def test_what_is_no_region_is_said(region: str) -> None:
    assert wrong_fields(AmazonS3(), region=region) == {"region"}
    assert wrong_fields(MinIO(), endpoint="https://minio", region=region) == {"region"}


def test_certificates_are_certificates(tmp_path: object) -> None:
    trusted, file = make_certificate(tmp_path)  # type: ignore[arg-type]
    assert profile(MinIO(), endpoint="https://minio", certificates=trusted).certificates.strip() == trusted.strip()
    for text in ("nonsense", file.read_text(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"):
        assert wrong_fields(MinIO(), endpoint="https://minio", certificates=text) == {"certificates"}


@pytest.mark.parametrize(
    ("values", "endpoint"),
    [
        ({"account_id": ACCOUNT}, f"https://{ACCOUNT}.r2.cloudflarestorage.com"),
        ({"account_id": f" {ACCOUNT.upper()} "}, f"https://{ACCOUNT}.r2.cloudflarestorage.com"),
        (
            {"account_id": f"https://{ACCOUNT}.eu.r2.cloudflarestorage.com/", "jurisdiction": "eu"},
            f"https://{ACCOUNT}.eu.r2.cloudflarestorage.com",
        ),
        ({"account_id": ACCOUNT, "jurisdiction": "fedramp"}, f"https://{ACCOUNT}.fedramp.r2.cloudflarestorage.com"),
    ],
)
def test_r2_is_found_by_account_and_jurisdiction(values: dict[str, str], endpoint: str) -> None:
    made = profile(CloudflareR2(), **values)
    assert (made.endpoint, made.region, made.plain_checksums) == (endpoint, "auto", True)


@pytest.mark.parametrize("account", ["", "evil.example.org/", ACCOUNT[:-1], f"{ACCOUNT}@evil"])
def test_what_is_no_account_is_said(account: str) -> None:
    assert wrong_fields(CloudflareR2(), account_id=account) == {"account_id"}


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("", "https://s3.us-east-1.amazonaws.com"),
        ("eu-central-1", "https://s3.eu-central-1.amazonaws.com"),
        ("cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_amazon_is_found_by_region(region: str, endpoint: str) -> None:
    made = profile(AmazonS3(), region=region)
    assert made.endpoint is None
    clients = S3Clients(made, Route())
    assert clients.endpoint == endpoint
    assert str(clients.boto().meta.endpoint_url).rstrip("/") in {endpoint, "https://s3.amazonaws.com"}
