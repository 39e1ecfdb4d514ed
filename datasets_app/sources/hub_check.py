"""Does a connection to a Hugging Face Hub work? Asked step by step, so that the answer says what to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datasets_app.sources.base import CheckStep
from datasets_app.sources.check_steps import Greeting, Reading, Step, run_steps
from datasets_app.sources.hub_paths import read_repository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets_app.sources.huggingface import HubSource


def check_hub(source: HubSource, path: str) -> Iterator[CheckStep]:
    """Go through the steps."""
    greeting = Greeting(source.client.web, f"{source.client.endpoint}/api/datasets?limit=1")
    steps: list[Step] = [
        ("Find the server", greeting.resolve),
        ("Connect", greeting.connect),
        ("Sign in", lambda: _sign_in(source)),
    ]
    if path:
        reading = Reading(lambda: source.open(path), "file")
        steps += [
            ("Find the repository", lambda: _find(source, path)),
            ("Pass its gate", lambda: _pass_gate(source, path)),
            ("List", reading.list),
            ("Read one byte", reading.read),
        ]
    return run_steps(steps)


def _sign_in(source: HubSource) -> str:
    if not source.client.has_token:
        return "No access token is used: only public repositories can be read."
    account = source.whoami()
    return f"The token is that of {account.get('name', 'nobody')}. {_describe_token(account)}"


def _describe_token(account: dict[str, Any]) -> str:
    from datasets_app.sources.huggingface import read_grants

    try:
        access = account["auth"]["accessToken"]
        role = access["role"]
    except (KeyError, TypeError):
        return "What it may do is not told."
    if role != "fineGrained":
        more = " Reading would be enough." if role == "write" else ""
        return f"Its role is {role}.{more}"
    grants = sorted(read_grants(account) or ())
    gated = (access.get("fineGrained") or {}).get("canReadGatedRepos")
    names = f"includes {', '.join(grants)}" if grants else "includes no repositories"
    return f"It is fine-grained: it {names}, and may {'' if gated else 'not '}read public gated repositories."


def _find(source: HubSource, path: str) -> str:
    place = read_repository(path)
    info = source.describe(place)
    return f"{place.shown[:1].upper()}{place.shown[1:]} is {'private' if info.get('private') else 'public'}."


def _pass_gate(source: HubSource, path: str) -> str:
    place = read_repository(path)
    gated = source.describe(place).get("gated")
    if not gated:
        return "It has none."
    source.pass_gate(place)
    return f"It is open for this token ({'approved by hand' if gated == 'manual' else 'terms accepted'})."
