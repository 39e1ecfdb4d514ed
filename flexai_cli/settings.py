"""Which server, which token, which team: given, from the environment, or as `flexai auth login` saved them."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flexai_cli.errors import SignInNeeded, UsageError


@dataclass(frozen=True, slots=True)
class Login:
    """What is needed to talk to a server. `url` has no slash at its end; `team` may be empty."""

    url: str
    token: str
    team: str = ""


def config_folder() -> Path:
    """Where the login is kept: `FLEXAI_CONFIG_DIR`, or the system's place for settings."""
    if given := os.environ.get("FLEXAI_CONFIG_DIR"):
        return Path(given)
    base = os.environ.get("APPDATA") if os.name == "nt" else os.environ.get("XDG_CONFIG_HOME")
    return Path(base or Path.home() / ".config") / "flexai"


def cache_folder() -> Path:
    """Where digests of files and pushes under way are remembered: `FLEXAI_CACHE_DIR`, or the system's place."""
    if given := os.environ.get("FLEXAI_CACHE_DIR"):
        return Path(given)
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "flexai"


def login_file() -> Path:
    """Return the file with the saved login."""
    return config_folder() / "login.json"


def saved_login() -> Login | None:
    """Return what `flexai auth login` saved; None when nobody has signed in."""
    try:
        found = json.loads(login_file().read_text("utf-8"))
        return Login(str(found["url"]), str(found["token"]), str(found.get("team", "")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SignInNeeded(f"{login_file()} cannot be read ({error}). Run: flexai auth login") from None


def save_login(login: Login) -> Path:
    """Write the login to a file that only its owner can read; an earlier one is replaced whole."""
    target = login_file()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".login-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(login), file)
    draft = Path(name)
    draft.chmod(stat.S_IRUSR | stat.S_IWUSR)
    draft.replace(target)
    return target


def forget_login() -> bool:
    """Remove the saved login; False when there was none."""
    try:
        login_file().unlink()
    except FileNotFoundError:
        return False
    return True


def find_login(url: str = "", token: str = "", team: str = "") -> Login:
    """Arguments win over FLEXAI_URL, FLEXAI_TOKEN and FLEXAI_TEAM, and these over what was saved.

    A saved token is sent only to the server that it was saved for, and a saved team goes with that token alone. Raises
    SignInNeeded where server or token is missing.
    """
    url, token = url or os.environ.get("FLEXAI_URL", ""), token or os.environ.get("FLEXAI_TOKEN", "")
    try:
        saved = saved_login()
    except SignInNeeded:
        # Damaged, which matters only where it is needed.
        if not (url and token):
            raise
        saved = None
    url = check_url(url or (saved.url if saved else ""))
    ours = saved if saved is not None and saved.url == url else None
    token = token or (ours.token if ours else "")
    if not token:
        raise SignInNeeded(f"There is no token for {url}. Run: flexai auth login --url {url}")
    saved_team = ours.team if ours and ours.token == token else ""
    return Login(url, token, team or os.environ.get("FLEXAI_TEAM", "") or saved_team)


def check_url(url: str) -> str:
    """Return the address of a server without a slash at its end."""
    if not url:
        raise SignInNeeded("No server is known. Run: flexai auth login --url https://... (or set FLEXAI_URL)")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{url!r} is no address of a server; it looks like https://flexai.example.org")
    return url.rstrip("/")
