"""Walking a version's directories."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from datasets_app.models import Role, Version
from tests.factories import (
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    make_version,
    page_client,
)

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/images/versions/1/tree/"
FILES = {"train/a b.txt": b"12345", "train/50% #1?.txt": b"x", "größe/<b>.txt": b"", "README.md": b"# hi"}


@pytest.fixture
def version() -> Version:
    return make_available_version(make_dataset(make_team("vision"), "images"), FILES)


@pytest.fixture
def client(version: Version) -> Client:
    return page_client(make_member(version.dataset.team, Role.READER))


def test_it_works(client: Client) -> None:
    page = client.get(URL).content.decode()
    names = re.findall(r'<span title="([^"]*)">', page)
    assert names == ["größe", "train", "README.md"]
    assert 'href="/teams/vision/datasets/images/versions/1/tree/train"' in page
    assert 'hx-get="/teams/vision/datasets/images/versions/1/tree/train"' in page
    assert 'data-copy="/input/images/train/"' in page
    assert "4 files" in page


def test_stranger(version: Version) -> None:
    assert page_client(make_user()).get(URL).status_code == 404


def test_every_link_leads_somewhere(client: Client) -> None:
    """Names with every kind of character that means something in a URL or in HTML."""
    seen = set()
    waiting = [URL]
    while waiting:
        url = waiting.pop()
        response = client.get(url)
        assert response.status_code == 200, url
        seen.add(url)
        links = re.findall(r'class="tree-name[^"]*" href="([^"]*)"', response.content.decode())
        waiting += [link for link in links if link not in seen]
    assert len(seen) == 3 + len(FILES)


def test_breadcrumbs_lead_back(client: Client) -> None:
    page = client.get(f"{URL}train/").content.decode()
    assert f'<a href="{URL}">files</a>' in page
    assert '<li aria-current="page">train</li>' in page


def test_long_ways_are_folded() -> None:
    names = [f"f{n}" for n in range(30)]
    files = {"/".join([*names, "x.txt"]): b"x", "a/b/c/d/x.txt": b"y"}
    version = make_available_version(make_dataset(make_team("vision"), "images"), files)
    client = page_client(make_member(version.dataset.team, Role.READER))
    page = client.get(URL + "/".join(names)).content.decode()
    way = page[page.index('aria-label="Breadcrumbs"') :].partition("</nav>")[0]
    folded = way[way.index("<details") : way.index("</details>")]
    assert re.findall(r">(f\d+)</a>", folded) == names[1:-2]
    # Each is there once, and what is not folded is where it begins and ends.
    assert re.findall(r">(f\d+)</(?:a|li)>", way) == names
    assert re.findall(r">(f\d+)</(?:a|li)>", way.replace(folded, "")) == ["f0", "f28", "f29"]
    assert f'href="{URL}{"/".join(names[:15])}"' in folded
    short = client.get(f"{URL}a/b/c/d/").content.decode()
    assert "<details" not in short[short.index('aria-label="Breadcrumbs"') :].partition("</nav>")[0]


def test_htmx_gets_the_rows_alone(client: Client) -> None:
    part = client.get(f"{URL}train", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert part.strip().startswith("<li>")
    assert "a b.txt" in part


def test_names_are_escaped(client: Client) -> None:
    page = client.get(f"{URL}größe").content.decode()
    assert "<b>.txt" not in page
    assert "&lt;b&gt;.txt" in page


def test_a_file_leads_to_its_page(client: Client) -> None:
    response = client.get(f"{URL}README.md")
    assert response.headers["Location"] == "/teams/vision/datasets/images/versions/1/files/README.md"


@pytest.mark.parametrize("path", ["nope", "train/nope", "train/../README.md", "?cursor=forged"])
def test_bad_input(client: Client, path: str) -> None:
    assert client.get(URL + path).status_code in {404, 422}


def test_an_open_version_has_no_tree_yet(version: Version) -> None:
    make_version(version.dataset)
    response = page_client(make_member(version.dataset.team)).get(URL.replace("/1/", "/2/"))
    assert response.headers["Location"] == "/teams/vision/datasets/images/versions/2/"


def test_pages() -> None:
    team = make_team("vision")
    make_available_version(make_dataset(team, "images"), {f"d/{number:04d}": b"" for number in range(150)})
    client = page_client(make_member(team))
    first = client.get(f"{URL}d").content.decode()
    link = re.search(r'class="tree-more"><a href="([^"]*)"', first)
    assert link is not None
    assert "0099" in first
    assert "0100" not in first
    rest = client.get(link[1]).content.decode()
    assert "From the start" in rest
    assert re.findall(r'<span title="(\d+)">', rest) == [f"{number:04d}" for number in range(100, 150)]
    more = client.get(link[1], headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in more
    assert "tree-more" not in more
