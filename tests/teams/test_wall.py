"""The wall between teams: every address of the API and of the pages, asked for by a member of another team.

The addresses are read from the URL configuration, so that a new one is asked too. One that names nothing of a team
must be added to OPEN, with a reason.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlencode

import orjson
import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from datasets_app.models import Connection, Import, Invitation, Job, Label, Role, Team, Upload, User
from datasets_app.services.credentials import encrypt_secrets
from tests.connections.shelf import SHELF, VALUES, install_shelf
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_version,
    page_client,
)

pytestmark = pytest.mark.django_db

# They name no team, or nothing that belongs to one.
OPEN = {
    "healthz",
    "readyz",
    "",
    "setup/",
    "sign-in/",
    "sign-out/",
    "account/",
    "account/password/",
    "account/tokens/",
    # One's own tokens: tested with the account page.
    "account/tokens/<int:token_id>/revoke/",
    "api/v1/me",
    "api/v1/tokens",
    "api/v1/tokens/<token_id>",
    # Whoever holds the secret is invited: tested with the invitations.
    "invitations/<str:secret>/",
    "teams/new/",
    "api/v1/teams",
    "api/v1/docs",
    "api/v1/openapi.json",
    "api/v1/",
    # Names its team in a header: tested below.
    "api/v1/tus",
    "api/<path:rest>",
}
# All that is stored, of no team: 403 for all but those who run the installation. Tested with the storage pages.
STORAGE = ("storage/", "api/v1/storage")
READERS_MAY = {
    # Tells what a rule would do, and does nothing.
    "api/v1/teams/<team>/datasets/<name>/retention/dry-run",
    "teams/<str:team>/switch/",
    "teams/<str:team>/leave/",
    # Tells what a recipe would give, and makes nothing.
    "api/v1/teams/<team>/compose/preview",
    # One reads a table, the other many files at once.
    "api/v1/teams/<team>/datasets/<name>/versions/<number>/sql",
    "api/v1/teams/<team>/datasets/<name>/versions/<number>/files",
}
NAME = "images"
LABEL = "prod"
FOLDER, FILE = "docs", "docs/readme.txt"
# Bodies that are right, so that the answer is not about them; by the last two words of the address, or the last.
BODIES: dict[str, object] = {
    "datasets": {"name": "another"},
    NAME: {"description": "x"},
    LABEL: {"version": 1},
    "versions": {},
    "plan": {"files": [{"path": "a", "size": 1}]},
    "remove": {"paths": ["a"]},
    "purge": {"confirm": "x"},
    "bundles": {"paths": ["a"]},
    "files": {"paths": [FILE]},
    "connections": {"name": "another", "provider": SHELF.name, "values": VALUES},
    "import": {"connection": NAME, "source_path": "box0"},
    "preview": {"source_path": "box0"},
    f"connections/{NAME}": {"values": {"user": "x"}},
    "move": {"moves": [{"from": FILE, "to": "moved"}]},
    "undo": {"paths": ["a"]},
    "sql": {"files": FILE, "sql": "SELECT 1"},
    "compose": {"name": "another", "parts": [{"dataset": NAME}]},
    "compose/preview": {"parts": [{"dataset": NAME}]},
    "retention": {"is_on": False},
    "dry-run": {"keep_last": 1},
    "jobs": {"name": "another", "kind": "training", "command": ["true"], "datasets": []},
}
# What an address must be asked with.
QUERIES = {"/compare/<path:": "?to=1", "/members/<path:": "?member=a", "/overlap": f"?other={NAME}"}
# Fits every form of the pages.
FORM = {
    "name": "another",
    "description": "x",
    "tags": "",
    "role": "reader",
    "username": "nobody",
    "expires_in_days": "7",
    "kind": "training",
    "command": "true",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
TUS = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}


def walk(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    """Yield every route as it is written."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, route)
        else:
            yield route


ROUTES = sorted(
    {
        route
        for route in walk(get_resolver().url_patterns)
        if not route.startswith(("admin/", "^static/", *STORAGE)) and route not in OPEN
    }
)


def make_connection(team: Team) -> None:
    secrets = encrypt_secrets({"secret": VALUES["secret"]})
    Connection.objects.create(team=team, name=NAME, provider=SHELF.name, settings=VALUES, credentials=secrets)


@pytest.fixture(autouse=True)
def _shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections lead to a store that needs no network."""
    install_shelf(monkeypatch)


@pytest.fixture
def team() -> Team:
    """Make a team with one of everything."""
    team = make_team("vision")
    make_connection(team)
    dataset = make_dataset(team, NAME)
    sealed = make_available_version(dataset, {FILE: b"secret"})
    Label.objects.create(dataset=dataset, name=LABEL, version=sealed)
    Import.objects.create(version=sealed, source_path="box0", status="finished")
    version = make_version(dataset)
    Job.objects.create(team=team, name=NAME, kind="training", command=["true"])
    later = timezone.now() + timedelta(days=1)
    Upload.objects.create(version=version, kind="file", size=1, expires_at=later)
    Invitation.objects.create(team=team, role="reader", token_hash="x" * 64, expires_at=later)
    return team


@pytest.fixture
def stranger() -> User:
    """Make the admin of a team of their own, with a dataset and a job of the same names."""
    other = make_team("other")
    make_available_version(make_dataset(other, NAME), {FILE: b"mine"})
    Job.objects.create(team=other, name=NAME, kind="training", command=["true"])
    make_connection(other)
    return make_member(other, Role.ADMIN)


def address(route: str, team: Team) -> str:
    values = {
        "team": team.name,
        "name": NAME,
        "dataset": NAME,
        "job": NAME,
        "number": "1",
        "other": "1",
        "path": FOLDER if "/tree/" in route else FILE,
        "upload_id": str(Upload.objects.get().pk),
        "label": LABEL,
        "invitation_id": str(Invitation.objects.get().pk),
    }
    query = next((query for part, query in QUERIES.items() if part in route and is_api(route)), "")
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda match: values[match[1]], route) + query


def ask(client: Client, method: str, url: str) -> int:
    if "/tus/" in url:
        return client.generic(
            method, url, b"x", content_type="application/offset+octet-stream", headers=TUS
        ).status_code
    if url.startswith("/api/"):
        words = url.split("/")
        body = orjson.dumps(BODIES.get("/".join(words[-2:]), BODIES.get(words[-1], {})))
        return client.generic(method, url, body, content_type="application/json").status_code
    return client.generic(method, url, urlencode(FORM), content_type="application/x-www-form-urlencoded").status_code


def test_the_walk_finds_what_there_is() -> None:
    assert len(ROUTES) > 40
    assert "api/v1/teams/<team>/datasets/<name>" in ROUTES
    assert "teams/<str:team>/datasets/<str:name>/" in ROUTES


def is_api(route: str) -> bool:
    return route.startswith("api/")


def test_strangers_get_404(team: Team, stranger: User) -> None:
    program, browser = api_client(stranger), page_client(stranger)
    wrong = {}
    for route in ROUTES:
        client = program if is_api(route) else browser
        answers = {method: ask(client, method, address(route, team)) for method in METHODS}
        if not set(answers.values()) <= {404, 405} or 404 not in answers.values():
            wrong[route] = answers
    assert wrong == {}, wrong


def test_readers_change_nothing(team: Team) -> None:
    reader = make_member(team, Role.READER)
    program, browser = api_client(reader), page_client(reader)
    wrong = {}
    for route in set(ROUTES) - READERS_MAY:
        client = program if is_api(route) else browser
        answers = {method: ask(client, method, address(route, team)) for method in ("POST", "PUT", "PATCH", "DELETE")}
        if not set(answers.values()) <= {403, 405}:
            wrong[route] = answers
    assert wrong == {}, wrong


def test_members_do_not(team: Team) -> None:
    """Prove that the addresses above are those of things that exist."""
    member = make_member(team, Role.ADMIN)
    program, browser = api_client(member), page_client(member)
    wrong = {}
    for route in ROUTES:
        url = address(route, team)
        status = ask(program if is_api(route) else browser, "HEAD" if "/tus/" in url else "GET", url)
        # The upload has no bytes on disk, the job left no file of this name, nothing is made of text, it is no archive,
        # and a sealed version has no pending changes.
        parts = ("/tus/", "/outputs/<path", "/products/<path", "/members/<path", "<number>/changes")
        nothing = any(part in route for part in parts)
        if status not in {200, 302, 405} and not nothing:
            wrong[route] = status
    assert wrong == {}, wrong


def test_a_token_for_another_team_gets_404(team: Team) -> None:
    """A token that is limited to one team is a stranger in the user's other teams."""
    second = make_team("second")
    member = make_member(second, Role.ADMIN)
    team.memberships.create(user=member, role=Role.ADMIN)
    client = api_client(member, team=second)
    wrong = {}
    for route in filter(is_api, ROUTES):
        answers = {method: ask(client, method, address(route, team)) for method in METHODS}
        if not set(answers.values()) <= {404, 405}:
            wrong[route] = answers
    assert wrong == {}, wrong


def test_nobody_gets_in_without_signing_in(team: Team, client: Client) -> None:
    wrong = {}
    for route in ROUTES:
        url = address(route, team)
        status = ask(client, "HEAD" if "/tus/" in url else "GET", url)
        if status not in {401 if is_api(route) else 302, 405}:
            wrong[route] = status
    assert wrong == {}, wrong


def test_strangers_cannot_start_an_upload(team: Team, stranger: User) -> None:
    pairs = {"team": team.name, "dataset": NAME, "version": "2", "path": "a"}
    metadata = ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in pairs.items())
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": metadata}
    assert api_client(stranger).post("/api/v1/tus", headers=headers).status_code == 404
