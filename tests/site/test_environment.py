"""Settings come from the environment; what is malformed or unknown is refused by name."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from flexai_site import settings as real_settings
from flexai_site.environment import Environment, SettingError, lasting_secret, make_folder


def test_it_works() -> None:
    env = Environment({"PORT": " 9000 ", "PACK_BYTES": "2MiB", "DEBUG": "Yes", "HOSTS": "a, b,", "EMPTY": ""})
    assert env.number("PORT", 8000) == 9000
    assert env.size("PACK_BYTES", 1) == 2 * 2**20
    assert env.switch("DEBUG", default=False)
    assert env.names("HOSTS", []) == ["a", "b"]
    assert env.text("EMPTY", "none") == "none"
    assert env.path("FOLDER", Path("/x")) == Path("/x")
    env.refuse_unknown()


def test_the_prefixed_name_wins() -> None:
    env = Environment({"PORT": "1", "FLEXAI_PORT": "2"})
    assert env.number("PORT", 8000) == 2


def test_names_of_clients_are_left_alone() -> None:
    env = Environment({"FLEXAI_URL": "http://x", "FLEXAI_TOKEN": "t", "FLEXAI_INPUT_DIR": "/input"})
    env.refuse_unknown()


def test_an_unknown_name_is_refused() -> None:
    env = Environment({"FLEXAI_DATADIR": "/x"})
    env.path("DATA_DIR", Path("/y"))
    with pytest.raises(SettingError, match=r"FLEXAI_DATADIR is unknown\. Did you mean FLEXAI_DATA_DIR\?"):
        env.refuse_unknown()


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda env: env.number("X", 1, least=1, most=9), "0"),
        (lambda env: env.number("X", 1), "many"),
        (lambda env: env.size("X", 1), "12 parsecs"),
        (lambda env: env.switch("X", default=True), "perhaps"),
        (lambda env: env.choice("X", "a", ["a", "b"]), "c"),
        (lambda env: env.origin("X"), "ftp://host"),
        (lambda env: env.origin("X"), "https://user@host"),
        (lambda env: env.database("X", {}), "mysql://host/name"),
        (lambda env: env.storage("X", {}), "s3://"),
        (lambda env: env.storage("X", {}), "s3://bucket?color=red"),
        (lambda env: env.storage("X", {}), "file://relative"),
        (lambda env: env.options("X"), "[1]"),
        (lambda env: env.options("X"), "{"),
    ],
)
def test_a_malformed_value_is_named(read: Callable[[Environment], object], value: str) -> None:
    with pytest.raises(SettingError, match=r"^Setting X is .*: it must be "):
        read(Environment({"X": value}))


def test_a_malformed_secret_is_not_repeated() -> None:
    with pytest.raises(SettingError) as caught:
        Environment({"DATABASE_URL": "mysql://u:hush@host/x"}).database("DATABASE_URL", {})
    assert "hush" not in str(caught.value)


def test_an_s3_url_becomes_a_storage() -> None:
    url = "s3://key:se%2Fcret@bucket/a/b?endpoint=http://127.0.0.1:9&region=eu&addressing=path"
    storage = Environment({"PACKS_URL": url}).storage("PACKS_URL", {})
    assert storage["BACKEND"] == "storages.backends.s3.S3Storage"
    wanted = {
        "bucket_name": "bucket",
        "location": "a/b",
        "endpoint_url": "http://127.0.0.1:9",
        "region_name": "eu",
        "addressing_style": "path",
        "access_key": "key",
        "secret_key": "se/cret",
        "file_overwrite": False,
    }
    assert storage["OPTIONS"].items() >= wanted.items()


def test_a_file_url_becomes_a_storage() -> None:
    storage = Environment({"PACKS_URL": "file:///srv/my%20packs"}).storage("PACKS_URL", {})
    assert storage["OPTIONS"] == {"location": "/srv/my packs"}


def test_the_secret_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    first = lasting_secret(file)
    assert len(first) >= 50
    assert lasting_secret(file) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingError, match="DATA_DIR"):
        make_folder(file, "DATA_DIR")


def test_every_setting_is_documented() -> None:
    page = (settings.BASE_DIR / "docs" / "operations.md").read_text()
    undocumented = [name for name in sorted(real_settings.env.known) if f"| `{name}` |" not in page]
    assert undocumented == []
