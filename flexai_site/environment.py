"""Read settings from environment variables, and refuse what is malformed or unknown.

The rule: every setting has one name, such as `PORT`. It may also be given as `FLEXAI_PORT`, which wins, for machines
where the short name is taken. A `FLEXAI_` name that is neither a setting nor a variable of the clients stops start-up.
Short names can't be checked for typing errors, because the rest of the environment is not ours.
"""

import base64
import difflib
import ipaddress
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

PREFIX: Final = "FLEXAI_"
# Read by the command line client, and set inside jobs: not settings of the server.
CLIENT_NAMES: Final = frozenset(
    {"FLEXAI_URL", "FLEXAI_TOKEN", "FLEXAI_TEAM", "FLEXAI_INPUT_DIR", "FLEXAI_OUTPUT_DIR", "FLEXAI_JOB_NAME"}
)
# Their values may hold passwords, so a message must not repeat them.
_SECRET_NAMES: Final = frozenset(
    {"SECRET_KEY", "DATABASE_URL", "BROKER_URL", "PACKS_URL", "PACKS_OPTIONS", "CREDENTIALS_KEYS", "EGRESS_PROXY"}
)
_KEY_BYTES: Final = 32
_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SWITCH: Final = dict.fromkeys(["1", "true", "yes", "on"], True) | dict.fromkeys(["0", "false", "no", "off"], False)


class SettingError(ImproperlyConfigured):
    """A setting is malformed or unknown; the message is one line that names it and says what is expected."""


class Environment:
    """Typed access to one mapping of environment variables; an empty value counts as not given."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        # The names of all settings that were asked for so far.
        self.known: set[str] = set()

    def _read(self, name: str, default: T, expected: str, cast: Callable[[str], T]) -> T:
        self.known.add(name)
        given = PREFIX + name if self._variables.get(PREFIX + name, "").strip() else name
        value = self._variables.get(given, "").strip()
        if not value:
            return default
        try:
            return cast(value)
        except (ValueError, TypeError, KeyError, ImproperlyConfigured) as error:
            shown = "not acceptable" if name in _SECRET_NAMES else repr(value)
            message = f"Setting {given} is {shown}: it must be {expected}."
            raise SettingError(message) from error

    def text(self, name: str, default: str = "", *, pattern: str = ".+", expected: str = "a text") -> str:
        """Text that matches the whole pattern."""

        def cast(value: str) -> str:
            if not re.fullmatch(pattern, value):
                raise ValueError
            return value

        return self._read(name, default, expected, cast)

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """One of the choices, whatever the case it is written in."""
        by_lower_case = {choice.lower(): choice for choice in choices}
        return self._read(name, default, "one of " + ", ".join(choices), lambda value: by_lower_case[value.lower()])

    def switch(self, name: str, *, default: bool) -> bool:
        """Read a yes or no."""
        return self._read(name, default, "true or false", lambda value: _SWITCH[value.lower()])

    def number(self, name: str, default: int, *, least: int = 0, most: int = 2**63 - 1) -> int:
        """Read a whole number from `least` to `most`."""
        return self._read(
            name, default, f"a whole number from {least} to {most}", lambda value: _within(int(value), least, most)
        )

    def decimal(self, name: str, default: float, *, least: float, most: float) -> float:
        """Read a decimal number from `least` to `most`."""
        return self._read(
            name, default, f"a number from {least} to {most}", lambda value: _within(float(value), least, most)
        )

    def size(self, name: str, default: int, *, least: int = 1) -> int:
        """Read a number of bytes, in digits or with a binary unit: `16777216`, `16M`, `16MiB`."""

        def cast(value: str) -> int:
            match = re.fullmatch(r"(\d+)\s*([KMGT]?)(?:i?B)?", value, re.IGNORECASE)
            if match is None:
                raise ValueError
            return _within(int(match[1]) * _UNITS[match[2].upper()], least, 2**63 - 1)

        return self._read(name, default, f"a size such as 16MiB or 1T, at least {least} bytes", cast)

    def path(self, name: str, default: Path) -> Path:
        """Read the path of a folder, made absolute from the current folder."""
        return self._read(name, default, "a path", lambda value: Path(value).expanduser().absolute())

    def names(self, name: str, default: list[str]) -> list[str]:
        """Read words separated by commas."""
        return self._read(
            name, default, "names separated by commas", lambda value: [w.strip() for w in value.split(",") if w.strip()]
        )

    def networks(self, name: str) -> list[str]:
        """Read networks separated by commas, such as `10.0.0.0/8` or `fd00::/8`; a lone address is a network of one."""

        def cast(value: str) -> list[str]:
            return [str(ipaddress.ip_network(word.strip())) for word in value.split(",") if word.strip()]

        return self._read(name, [], "networks separated by commas, such as 10.0.0.0/8", cast)

    def encryption_keys(self, name: str) -> list[str]:
        """Read Fernet keys separated by commas: 32 bytes each, in URL-safe base64."""

        def cast(value: str) -> list[str]:
            keys = [word.strip() for word in value.split(",") if word.strip()]
            if any(len(base64.b64decode(key, altchars=b"-_", validate=True)) != _KEY_BYTES for key in keys):
                raise ValueError
            return keys

        return self._read(name, [], "Fernet keys (32 bytes in URL-safe base64) separated by commas", cast)

    def origin(self, name: str) -> str:
        """Read an absolute http(s) URL, without the slash at its end."""
        return self.text(
            name, pattern=r"https?://[^\s/?#@]+(/[^\s?#]*)?", expected="a URL such as https://data.example.org"
        ).rstrip("/")

    def database(self, name: str, default: Mapping[str, Any]) -> dict[str, Any]:
        """Read one entry of Django's DATABASES, from a `sqlite:` or `postgresql:` URL."""

        def cast(value: str) -> dict[str, Any]:
            if not re.match(r"(sqlite|postgres|postgresql)://", value):
                raise ValueError
            return dict(environ.Env.db_url_config(value))

        return self._read(
            name,
            dict(default),
            "a URL such as postgresql://user:password@host/name or sqlite:////folder/file",
            cast,
        )

    def storage(self, name: str, default: Mapping[str, Any]) -> dict[str, Any]:
        """Read one entry of Django's STORAGES, from a `file:`, `s3:` or `gs:` URL."""
        return self._read(
            name,
            dict(default),
            "a URL such as file:///folder or s3://bucket/prefix?endpoint=https://host",
            _storage_of_url,
        )

    def options(self, name: str) -> dict[str, Any]:
        """Read a JSON object."""

        def cast(value: str) -> dict[str, Any]:
            loaded = json.loads(value)
            if not isinstance(loaded, dict):
                raise TypeError
            return loaded

        return self._read(name, {}, "a JSON object", cast)

    def refuse_unknown(self) -> None:
        """Stop when a variable with our prefix is none of the settings that were read so far."""
        for given in sorted(self._variables):
            name = given.removeprefix(PREFIX)
            if given.startswith(PREFIX) and name not in self.known and given not in CLIENT_NAMES:
                near = difflib.get_close_matches(name, self.known, n=1)
                hint = f" Did you mean {PREFIX}{near[0]}?" if near else " docs/operations.md lists all settings."
                message = f"Setting {given} is unknown.{hint}"
                raise SettingError(message)


def make_folder(path: Path, setting: str) -> Path:
    """Make the folder that a setting names, and check that files can be made in it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"Setting {setting} is {str(path)!r}, which can't be made: {error.strerror}."
        raise SettingError(message) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        message = f"Setting {setting} is {str(path)!r}, where this user may not write."
        raise SettingError(message)
    return path


def new_signing_key() -> str:
    """Return 400 random bits as text."""
    return secrets.token_urlsafe(50)


def new_encryption_key() -> str:
    """Return 32 random bytes in URL-safe base64, as Fernet takes its keys."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def lasting_secret(path: Path, make: Callable[[], str] = new_signing_key) -> str:
    """Return the secret kept in the file; make it once, readable by the owner alone, when there is none."""
    if not path.exists():
        # A link appears whole or not at all, and only the first of two processes gets its own in.
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        draft.touch(mode=0o600)
        draft.write_text(make())
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text().strip()


def _within(value: T, least: T, most: T) -> T:
    if not least <= value <= most:  # type: ignore[operator]
        raise ValueError
    return value


def _storage_of_url(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/") and not options:
        return file_storage(Path(unquote(parts.path)))
    if not parts.hostname:
        raise ValueError
    bucket = {"bucket_name": parts.hostname, "location": parts.path.strip("/"), "file_overwrite": False}
    if parts.scheme == "gs" and not options:
        return {"BACKEND": "storages.backends.gcloud.GoogleCloudStorage", "OPTIONS": bucket}
    if parts.scheme != "s3":
        raise ValueError
    names = {"endpoint": "endpoint_url", "region": "region_name", "addressing": "addressing_style"}
    chosen: dict[str, Any] = {names[key]: value for key, value in options.items()}
    if parts.username and parts.password:
        chosen |= {"access_key": unquote(parts.username), "secret_key": unquote(parts.password)}
    fixed = {"signature_version": "s3v4", "default_acl": None, "querystring_auth": True}
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": bucket | fixed | chosen}


def file_storage(folder: Path) -> dict[str, Any]:
    """One entry of Django's STORAGES for a folder on this machine."""
    return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(folder)}}
