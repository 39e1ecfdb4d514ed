"""The form that composes versions, and the lineage on their pages."""

from __future__ import annotations

import re

import pytest

from datasets_app.models import Dataset, Role, Team, User, Version
from datasets_app.services import version_choices
from datasets_app.services.composing import compose_version
from datasets_app.services.labels import set_label
from datasets_app.services.recipes import Part, Split
from datasets_app.services.versions import run_seal
from tests.factories import make_available_version, make_dataset, make_member, make_team, page_client

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def team() -> Team:
    team = make_team()
    make_available_version(
        make_dataset(team, "birds"), {f"{kind}/{n}": f"{kind}{n}".encode() for kind in "ab" for n in range(5)}
    )
    make_available_version(make_dataset(team, "notes"), {"README.md": b"notes"})
    return team


@pytest.fixture
def writer(team: Team) -> User:
    return make_member(team, Role.WRITER)


def row(dataset: str, **given: str) -> dict[str, str]:
    empty = {"version": "latest", "folder": "", "prefix": "", "include": "", "exclude": "", "seed": "1"}
    return {"dataset": dataset} | empty | {"start": "", "end": "", "by": "path"} | given


def fields(*rows: dict[str, str], **others: str) -> dict[str, object]:
    lists: dict[str, object] = {f"part_{name}": [one[name] for one in rows] for name in row("")}
    return lists | others


def test_it_works_without_scripts(team: Team, writer: User) -> None:
    client = page_client(writer)
    address = f"/teams/{team.name}/compose/"
    shown = client.get(f"{address}?part=birds@1&name=made").content.decode()
    assert "Part 1: birds" in shown
    assert 'value="made"' in shown
    added = client.post(address, fields(row("birds"), name="made", add="notes")).content.decode()
    assert "Part 2: notes" in added
    assert "Together" in added
    removed = client.post(address, fields(row("birds"), row("notes"), remove="0")).content.decode()
    assert "Part 1: notes" in removed
    both = fields(row("birds", folder="a", prefix="x", start="0", end="100"), row("notes"), name="made", step="compose")
    made = client.post(address, both)
    assert made.headers["Location"] == f"/teams/{team.name}/datasets/made/versions/1/"
    run_seal(Version.objects.get(dataset__name="made").pk)
    assert Version.objects.select_related("root").get(dataset__name="made").file_count == 6
    page = client.get(made.headers["Location"]).content.decode()
    assert "Made from" in page
    assert "composed of birds@1, notes@1" in page
    assert "Used in" in client.get(f"/teams/{team.name}/datasets/birds/versions/1/").content.decode()


def chosen(page: str, name: str) -> tuple[str, str]:
    """Value and text of what a browser would submit for a select."""
    select = page[page.index(f'<select name="{name}"') :].partition("</select>")[0]
    options = re.findall(r'<option value="([^"]*)"( selected)?>(.*?)</option>', select)
    return next(((value, text) for value, marked, text in options if marked), (options[0][0], options[0][2]))


def test_what_was_asked_for_is_among_the_choices(team: Team, writer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older version than are listed, and a label: the page must not quietly turn them into the newest."""
    monkeypatch.setattr(version_choices, "VERSIONS", 2)
    dataset = Dataset.objects.get(name="notes")
    for number in range(3):
        make_available_version(dataset, {"n": bytes([number])})
    set_label(writer, dataset=dataset, name="prod", version=dataset.versions.get(number=2))
    client = page_client(writer)
    compose, upload = f"/teams/{team.name}/compose/", f"/teams/{team.name}/datasets/notes/upload/"
    wishes = {
        "1": ("1", "@1, 1 file, 5 B"),
        "3": ("3", "@3, 1 file, 1 B"),
        "prod": ("prod", "prod (now @2)"),
        "99": ("99", "@99, not available"),
    }
    for wish, wanted in wishes.items():
        assert chosen(client.get(f"{compose}?part=notes@{wish}").content.decode(), "part_version") == wanted
        assert chosen(client.get(f"{upload}?base={wish}").content.decode(), "base") == wanted
        again = client.post(compose, fields(row("notes", version=wish), step="preview")).content.decode()
        assert chosen(again, "part_version") == wanted
    assert chosen(client.get(upload).content.decode(), "base")[0] == "4"
    refused = client.post(upload, {"start": "base", "base": "99"})
    assert refused.status_code == 422
    assert "no available version notes@99" in refused.content.decode()
    assert chosen(refused.content.decode(), "base")[0] == "99"
    client.post(upload, {"start": "base", "base": "prod"})
    made = dataset.versions.get(number=5)
    assert made.base == dataset.versions.get(number=2)
    client.post(upload, {"start": "empty", "base": "prod"})
    assert dataset.versions.get(number=6).base is None


def test_a_version_that_is_too_old_to_be_listed_can_be_typed(
    team: Team, writer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.objects.get(name="notes")
    make_available_version(dataset, {"n": b"1"})
    client = page_client(writer)
    upload = f"/teams/{team.name}/datasets/notes/upload/"
    assert 'name="older"' not in client.get(upload).content.decode()
    monkeypatch.setattr(version_choices, "VERSIONS", 1)
    assert 'name="older"' in client.get(upload).content.decode()
    refused = client.post(upload, {"start": "base", "base": "2", "older": "99"})
    assert chosen(refused.content.decode(), "base") == ("99", "@99, not available")
    client.post(upload, {"start": "base", "base": "2", "older": " 1 "})
    assert dataset.versions.get(number=3).base == dataset.versions.get(number=1)


def test_htmx_gets_the_counts_alone(team: Team, writer: User) -> None:
    client = page_client(writer)
    answer = client.post(
        f"/teams/{team.name}/compose/",
        fields(row("birds", include="a\n"), step="preview"),
        headers={"HX-Request": "true"},
    ).content.decode()
    assert answer.strip().startswith('<section class="panel" id="preview"')
    assert '<td class="num">5</td>' in answer


def test_what_is_wrong_is_said_and_kept(team: Team, writer: User) -> None:
    client = page_client(writer)
    address = f"/teams/{team.name}/compose/"
    odd = client.post(address, fields(row("birds", start="x"), name="made", step="compose"))
    assert odd.status_code == 422
    assert "A split goes from a smaller to a larger percentage" in odd.content.decode()
    none = client.post(address, {"name": "made", "step": "compose"})
    assert (none.status_code, "1 to 20 parts" in none.content.decode()) == (422, True)
    nameless = client.post(address, fields(row("birds"), name="", step="compose"))
    assert nameless.status_code == 422
    gone = client.post(address, fields(row("nothing"), name="made", step="compose"))
    assert (gone.status_code, "no dataset nothing" in gone.content.decode()) == (422, True)
    assert page_client(make_member(team, Role.READER)).get(address).status_code == 403
    assert page_client(make_member(make_team())).get(address).status_code == 404


def test_one_that_failed_is_composed_anew(team: Team, writer: User) -> None:
    version = compose_version(
        writer, team=team.name, name="made", parts=[Part("birds", split=Split("s", 0, 50)), Part("notes")]
    )
    Version.objects.filter(pk=version.pk).update(status="error", error="Parts disagree.")
    page = page_client(writer).get(f"/teams/{team.name}/datasets/made/versions/1/").content.decode()
    assert "?name=made&amp;part=birds%401&amp;part=notes%401" in page
    assert "Upload files" not in page
