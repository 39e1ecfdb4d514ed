"""What a folder's page says besides its lines, and the search in a version."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from PIL import Image
from pytest_django.fixtures import Settings

from datasets_app.models import Role, Version
from datasets_app.services import folders
from datasets_app.services.searching import Search, search_files
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_user, page_client

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]

URL = "/teams/vision/datasets/images/versions/1/"


def _png(shade: int) -> bytes:
    sink = io.BytesIO()
    Image.new("L", (20, 20), shade).save(sink, "PNG")
    return sink.getvalue()


FILES = {
    "README.md": b"---\nlicense: mit\n---\n# Pets\n\n![a cat](train/cat/a.png) [more](docs/more.md)\n",
    "docs/more.md": b"More.",
    "train/cat/a.png": _png(1),
    "train/cat/b.png": _png(2),
    "train/dog/c.png": _png(3),
    "test/cat/100%_d.png": _png(4),
    "test/dog/E.PNG": _png(5),
}


@pytest.fixture
def version() -> Version:
    return make_available_version(make_dataset(make_team("vision"), "images"), FILES)


@pytest.fixture
def client(version: Version) -> Client:
    return page_client(make_member(version.dataset.team, Role.READER))


def find(version: Version, **wanted: str | int) -> list[str]:
    reader = make_member(version.dataset.team, Role.READER)
    return sorted(one.path for one in search_files(reader, version=version, search=Search(**wanted)).items)  # type: ignore[arg-type]


def test_the_readme_is_rendered_and_leads_into_the_version(client: Client) -> None:
    page = client.get(f"{URL}tree/").content.decode()
    assert "<h1>Pets</h1>" in page
    assert "<dt>license</dt><dd>mit</dd>" in page
    assert 'src="/api/v1/teams/vision/datasets/images/versions/1/files/train/cat/a.png?inline=true"' in page
    assert 'href="/teams/vision/datasets/images/versions/1/files/docs/more.md"' in page


def test_types_are_counted(client: Client) -> None:
    page = client.get(f"{URL}tree/").content.decode()
    assert "5 files" in page
    assert ".png" in page
    assert "Files by class" not in client.get(f"{URL}tree/train/cat").content.decode()


def test_classes_and_splits(version: Version) -> None:
    assert version.root is not None
    table = folders.describe_folder(version.root, entries=[]).classes
    assert table is not None
    assert (table.splits, table.rows) == (["test", "train"], [("cat", [1, 2], 3), ("dog", [1, 1], 2)])


def test_a_large_folder_is_counted_by_a_worker(
    version: Version, client: Client, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    # Elsewhere than what other tests have kept.
    settings.PREVIEWS_DIR = tmp_path
    monkeypatch.setattr(folders, "COUNTED_AT_ONCE", 1)
    assert "every 2s" in client.get(f"{URL}types/train").content.decode()
    train = version.root.subdirectories.get(name="train").child  # type: ignore[union-attr]
    folders.count_folder(train.pk)
    assert "3 files" in client.get(f"{URL}types/train").content.decode()


def test_pictures_are_a_gallery(client: Client) -> None:
    page = client.get(f"{URL}tree/train/cat").content.decode()
    assert "/products/train/cat/a.png?part=thumbnail" in page


def test_recordings_can_be_played(version: Version) -> None:
    other = make_available_version(make_dataset(version.dataset.team, "voices"), {"a b.wav": b"RIFF", "c.mp3": b"ID3"})
    client = page_client(make_member(version.dataset.team, Role.READER))
    page = client.get("/teams/vision/datasets/voices/versions/1/tree/").content.decode()
    assert other.root is not None
    assert 'src="/api/v1/teams/vision/datasets/voices/versions/1/files/a%20b.wav?inline=true"' in page
    assert "Pictures</h2>" not in page
    assert "Recordings</h2>" not in client.get(f"{URL}tree/train/cat").content.decode()


def test_search_by_name_pattern_ending_and_size(version: Version) -> None:
    assert find(version, text="MORE") == ["docs/more.md"]
    assert find(version, text="train/cat") == ["train/cat/a.png", "train/cat/b.png"]
    assert find(version, text="?.png") == ["train/cat/a.png", "train/cat/b.png", "train/dog/c.png"]
    assert find(version, text="t*/dog/[a-d].*") == ["train/dog/c.png"]
    assert find(version, text="100%_") == ["test/cat/100%_d.png"]
    assert find(version, text="%") == ["test/cat/100%_d.png"]
    assert find(version, suffix="md") == ["README.md", "docs/more.md"]
    assert find(version, suffix="png", most_size=1) == []
    assert find(version, most_size=5) == ["docs/more.md"]
    assert find(version) == []


def test_the_page_of_the_search(client: Client) -> None:
    page = client.get(f"{URL}search/?q=*.png&number=1").content.decode()
    assert f"{URL}files/test/cat/100%25_d.png" in page
    part = client.get(f"{URL}search/?q=zzz", headers={"HX-Request": "true"}).content.decode()
    assert "No file fits" in part
    assert "<html" not in part
    assert client.get(f"{URL}search/").status_code == 200


def test_bad_input(client: Client) -> None:
    assert client.get(f"{URL}search/?q=a&number=100000").status_code == 422
    assert client.get(f"{URL}search/?q=a&least=nonsense").status_code == 200
    page = client.get(f"{URL}search/?q=a&least=nonsense").content.decode()
    assert "<b>Size from</b> does not count. Write a size such as" in page
    assert client.get(f"{URL}search/?q=%5B").status_code == 200


def test_stranger(version: Version) -> None:
    stranger = page_client(make_user())
    assert stranger.get(f"{URL}search/?q=a").status_code == 404
    assert stranger.get(f"{URL}types/").status_code == 404


def test_the_gallery_goes_on_behind_the_first_page(version: Version, client: Client) -> None:
    many = {f"{number:03}.png": _png(number) for number in range(130)} | {"zoo/a.txt": b"x"}
    make_available_version(version.dataset, many)
    url = "/teams/vision/datasets/images/versions/2/tree/"
    first = client.get(url).content.decode()
    assert first.count("?part=thumbnail") == 99
    more = html.unescape(first.split('hx-get="')[1].split('"')[0]) if "show=pictures" in first else ""
    part = client.get(more, headers={"HX-Request": "true"}).content.decode()
    assert part.count("?part=thumbnail") == 31
    assert "099.png?part=thumbnail" in part
    assert "show=pictures" not in part
    assert "<h1" not in part
    whole = client.get(more.replace("&show=pictures", "")).content.decode()
    assert whole.count("?part=thumbnail") == 31
    assert "Types</h2>" not in whole
    assert "Types</h2>" in first


def test_of_very_many_classes_the_largest_are_shown(version: Version, client: Client) -> None:
    files = {f"{split}/{number:03}/{split}": b"x" for number in range(205) for split in ("train", "test")}
    make_available_version(version.dataset, files | {"train/204/more": b"y", "test/003/more": b"z"})
    page = client.get("/teams/vision/datasets/images/versions/2/tree/").content.decode()
    table = page.split("Files by class")[1]
    assert "the largest 200, 5 more are not shown" in table
    assert re.findall(r'<tr><th scope="row">(\w+)</th>', table)[:3] == ["003", "204", "000"]
    assert '<tfoot><tr><th scope="row">All</th><td class="num">206</td><td class="num">206</td>' in table


def test_pages_of_a_search_hold_each_file_once(version: Version) -> None:
    files = {f"set-{number % 7}/{number:04}.bin": b"%d" % (number % 50) for number in range(450)}
    many = make_available_version(version.dataset, files)
    reader = make_member(version.dataset.team, Role.READER)
    for wanted in (Search(text="*.bin"), Search(text="set-?/*.bin"), Search(least_size=1), Search(text="set-3/0")):
        pages = []
        for number in range(1, 6):
            page = search_files(reader, version=many, search=wanted, page=number)
            pages += [one.path for one in page.items]
            assert page == search_files(reader, version=many, search=wanted, page=number)
            if not page.has_more:
                break
        expected = [path for path in files if wanted.text != "set-3/0" or path.startswith("set-3/")]
        assert sorted(pages) == sorted(expected)
        if connection.vendor == "postgresql":
            assert pages == sorted(pages)
