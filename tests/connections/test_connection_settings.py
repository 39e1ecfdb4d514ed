"""What operators set for connections: keys, networks, a proxy, the machine's role."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pytest_django.fixtures import Settings

from datasets_app.services.egress import source_route
from flexai_site.environment import Environment, SettingError, lasting_secret, new_encryption_key

KEY = Fernet.generate_key().decode()


def test_keys_are_read_in_their_order() -> None:
    other = Fernet.generate_key().decode()
    assert Environment({"CREDENTIALS_KEYS": f"{KEY}, {other},"}).encryption_keys("CREDENTIALS_KEYS") == [KEY, other]
    assert Environment({}).encryption_keys("CREDENTIALS_KEYS") == []


@pytest.mark.parametrize(
    "value", ["secret", KEY[:-4], f"{KEY},x", KEY.replace(KEY[3], "!")], ids=["word", "short", "second", "odd"]
)
def test_a_bad_key_is_refused_without_being_told(value: str) -> None:
    with pytest.raises(SettingError) as refusal:
        Environment({"CREDENTIALS_KEYS": value}).encryption_keys("CREDENTIALS_KEYS")
    assert value not in str(refusal.value)


def test_the_key_that_is_made_lasts_and_fits(tmp_path: Path) -> None:
    key = lasting_secret(tmp_path / "key", new_encryption_key)
    assert lasting_secret(tmp_path / "key", new_encryption_key) == key
    assert Fernet(key).decrypt(Fernet(key).encrypt(b"x")) == b"x"


def test_networks() -> None:
    given = {"ALLOWED_SOURCE_NETWORKS": "10.0.0.0/8, fd00::/8,192.0.2.7"}
    assert Environment(given).networks("ALLOWED_SOURCE_NETWORKS") == ["10.0.0.0/8", "fd00::/8", "192.0.2.7/32"]
    for bad in ("10.0.0.1/8", "everything", "10.0.0.0/8,x"):
        with pytest.raises(SettingError, match="ALLOWED_SOURCE_NETWORKS"):
            Environment({"ALLOWED_SOURCE_NETWORKS": bad}).networks("ALLOWED_SOURCE_NETWORKS")


def test_sources_take_the_guard_or_the_operators_proxy(settings: Settings) -> None:
    own = source_route()
    assert own.proxy is not None
    assert own.proxy.startswith("http://127.0.0.1:")
    assert source_route() == own
    assert not own.allows_machine_role
    settings.EGRESS_PROXY = "http://proxy.example.org:3128"
    settings.ALLOW_MACHINE_ROLE = True
    theirs = source_route()
    assert (theirs.proxy, theirs.allows_machine_role) == ("http://proxy.example.org:3128", True)
