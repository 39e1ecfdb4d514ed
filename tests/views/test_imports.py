"""The form of an import, and the page of a version that an import fills."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from datasets_app.models import Connection, Dataset, Import, ImportProblem, Role, Team, User, Version
from datasets_app.services import importing, version_choices
from datasets_app.services.connections import create_connection, delete_connection
from datasets_app.services.import_progress import measure_import
from datasets_app.services.importing import run_imports
from datasets_app.services.labels import set_label
from datasets_app.services.versions import run_seal
from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.patience import StoppedError
from tests.connections import shelf
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_version, page_client
from tests.sources.doubles import hub
from tests.sources.hub_double import Hub

__all__ = ["hub"]

pytestmark = pytest.mark.django_db

NEW = "/teams/vision/imports/new/"
DATASET = "/teams/vision/datasets/scenes/"
VERSION = f"{DATASET}versions/1/"
FORM = {"connection": "my-shelf", "source_path": "box0", "name": "scenes"}
HTMX = {"HX-Request": "true"}
FILES: dict[str, bytes | None] = {"a.txt": b"aaa", "b.csv": b"b,b", "deep/c.txt": b"c"}


@pytest.fixture
def team() -> Team:
    return make_team("vision")


@pytest.fixture
def admin(team: Team) -> User:
    return make_member(team, Role.ADMIN, "ada")


@pytest.fixture
def connection(team: Team, admin: User, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Give a connection to a shelf with three files."""
    shelf.install_shelf(monkeypatch)
    shelf.CONTENT.update(FILES)
    return create_connection(admin, team=team.name, name="my-shelf", provider="shelf", values=shelf.VALUES)


@pytest.fixture
def visitor(team: Team, connection: Connection) -> Client:
    return page_client(make_member(team, Role.WRITER))


def ask(visitor: Client, step: str, *, htmx: bool = True, **fields: str) -> Any:  # noqa: ANN401
    """Press a button of the form."""
    return visitor.post(NEW, FORM | {"step": step} | fields, headers=HTMX if htmx else {})


def refuse(error: Exception) -> Callable[..., bytes]:
    """Make a method that raises it."""

    def method(*_: object) -> bytes:
        raise error

    return method


def work() -> Import:
    """Do what workers would."""
    while run_imports():
        pass
    run = Import.objects.latest("pk")
    run_seal(run.version_id)
    return run


def page(visitor: Client, address: str = VERSION) -> str:
    return " ".join(visitor.get(address).content.decode().split())


def test_it_works(visitor: Client) -> None:
    assert "The shelf" not in page(visitor, NEW)
    started = ask(visitor, "import", htmx=False, exclude="*.csv\n", message="The first box")
    assert (started.status_code, started.headers["Location"]) == (302, VERSION)
    under_way = page(visitor)
    assert "Cancel import" in under_way
    assert "?importing" in under_way
    assert "syncing" in under_way
    work()
    done = page(visitor)
    assert "The first box" in done
    assert "Shelf: <code" in done
    assert Version.objects.get().source["pinned"] == "main-pinned"
    assert "main-pinned" in done
    assert Version.objects.get().file_count == 2
    for address in (DATASET, "/teams/vision/datasets/", "/teams/vision/connections/my-shelf/"):
        assert "box0</code>" in page(visitor, address)
    again = page(visitor, f"{NEW}?again=1&name=scenes")
    assert 'value="box0"' in again
    assert "*.csv</textarea>" in again
    assert "scenes is there. Its next version starts" in again


def test_a_second_version_starts_empty_or_from_an_earlier_one(team: Team, visitor: Client) -> None:
    make_available_version(make_dataset(team, "scenes"), {"old.txt": b"old"})
    ask(visitor, "import", htmx=False)
    work()
    assert Version.objects.get(number=2).file_count == 3
    ask(visitor, "import", htmx=False, start="base", base="1", prefix="new")
    work()
    version = Version.objects.get(number=3)
    assert (version.file_count, version.base and version.base.number) == (4, 1)
    third = page(visitor, f"{DATASET}versions/3/")
    assert "new/</code>" in third
    assert "<dd>3 files, 7 B</dd>" in page(visitor, f"{DATASET}versions/2/")
    assert "3 files (7 B) were known and not read again" in third


def test_an_import_may_start_from_any_version(
    team: Team, admin: User, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is too old to be listed is typed, or named by the address; a label is chosen as a number is."""
    monkeypatch.setattr(version_choices, "VERSIONS", 1)
    dataset = make_dataset(team, "scenes")
    for number in range(2):
        make_available_version(dataset, {"old.txt": bytes([number])})
    set_label(admin, dataset=dataset, name="prod", version=dataset.versions.get(number=1))
    offered = page(visitor, f"{NEW}?name=scenes&start=base&base=1")
    assert '<option value="1" selected>@1, 1 file, 1 B</option>' in offered
    assert 'name="older"' in offered
    assert '<option value="prod">prod (now @1)</option>' in offered
    # What a browser sends of a list that nobody has looked at is no wish.
    assert "not available" not in ask(visitor, "into", base="9").content.decode()
    for wish in ({"base": "2", "older": "1"}, {"base": "prod"}):
        ask(visitor, "import", htmx=False, start="base", **wish)
        assert work().version.base == dataset.versions.get(number=1)


def test_looking_around(visitor: Client) -> None:
    top = ask(visitor, "look", source_path="").content.decode()
    assert top.lstrip().startswith('<div class="browser" id="browser">')
    assert 'name="open" value="box1"' in top
    more = visitor.post(NEW, FORM | {"source_path": "", "more": "2"}, headers=HTMX).content.decode()
    assert 'value="box2"' in more
    opened = visitor.post(
        NEW, FORM | {"source_path": "", "open": "box1", "revision": "x"}, headers=HTMX
    ).content.decode()
    assert 'name="source_path" value="box1"' in opened
    assert "ax.txt" in opened
    assert '<option value="box1-old">' in opened
    attic = ask(visitor, "browse", source_path="attic<").content.decode()
    assert "There is no box &lt;attic&lt;&gt;." in attic
    assert "This field is required" not in attic
    other = ask(visitor, "connect", source_path="box1").content.decode()
    assert 'value="box0"' in other
    assert 'name="source_path" value="' not in other


def test_a_file_is_picked_and_let_go_again(visitor: Client) -> None:
    box = ask(visitor, "browse", source_path="box1").content.decode()
    assert 'name="pick" value="box1/a.txt" aria-pressed="false"' in box
    assert 'name="place" value="box1"' in box

    picked = visitor.post(NEW, FORM | {"source_path": "box1", "place": "box1", "pick": "box1/a.txt"}, headers=HTMX)
    part = picked.content.decode()
    assert 'name="source_path" value="box1/a.txt"' in part
    # The browser stays where it is, and says which one is picked.
    assert 'name="place" value="box1"' in part
    assert 'name="open" value="box1" aria-pressed="true"' in part

    whole = visitor.post(NEW, FORM | {"source_path": "box1/a.txt", "place": "box1", "open": "box1"}).content.decode()
    assert 'name="source_path" value="box1"' in whole
    assert 'aria-pressed="false"' in whole


def test_a_file_is_picked_on_a_later_page(visitor: Client) -> None:
    later = FORM | {"source_path": "", "place": "", "page": "2", "pick": "box2"}
    part = visitor.post(NEW, later, headers=HTMX).content.decode()
    assert 'value="box2"' in part
    assert 'name="page" value="2"' in part
    assert 'value="box0"' not in part


def test_looking_around_without_a_script(visitor: Client) -> None:
    whole = visitor.post(NEW, FORM | {"open": "box1"}).content.decode()
    assert "<html" in whole
    assert "a.txt" in whole


def test_an_organisation_of_the_hub_is_looked_into(team: Team, admin: User, hub: Hub, settings: Settings) -> None:
    """It has repositories and no revisions; those it has."""
    settings.ALLOWED_SOURCE_NETWORKS = ["127.0.0.0/8"]
    hub.add_repository("ada/cats").commit({"cat.txt": b"meow"})
    create_connection(admin, team=team.name, name="the-hub", provider="huggingface", values={"endpoint": hub.url})
    visitor = page_client(admin)
    owner = ask(visitor, "browse", connection="the-hub", source_path="ada").content.decode()
    assert 'value="ada/cats"' in owner
    repository = ask(visitor, "browse", connection="the-hub", source_path="ada/cats").content.decode()
    assert "cat.txt" in repository
    assert '<option value="main">' in repository


def test_preview(visitor: Client) -> None:
    shelf.CONTENT["wrong//name"] = b"x"
    part = " ".join(ask(visitor, "preview", name="").content.decode().split())
    assert part.startswith('<div id="preview"')
    assert '<dt>Files</dt><dd class="num">3</dd>' in part
    assert "1 object can't be a file of a dataset" in part
    assert "<code>wrong//name</code>" in part
    assert "<code>deep/c.txt</code>" in part
    assert "<code>in/here/a.txt</code>" in ask(visitor, "preview", prefix="in/here").content.decode()
    assert "Nothing there matches" in ask(visitor, "preview", include="*.png").content.decode()
    assert not Version.objects.exists()
    assert "<html" in ask(visitor, "preview", htmx=False).content.decode()


def test_preview_tells_what_is_stored(visitor: Client) -> None:
    ask(visitor, "import", htmx=False)
    work()
    assert "3 files" in ask(visitor, "preview").content.decode()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"source_path": ""}, "This field is required"),
        ({"source_path": "/"}, "Say what to import"),
        ({"name": ""}, "A name has"),
        ({"name": "a b"}, "A name has"),
        ({"include": "[" * 2000}, "<li>"),
        ({"prefix": "../up"}, "<li>"),
        ({"start": "base", "base": "7"}, "There is no available version"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(visitor: Client, fields: dict[str, str], words: str) -> None:
    for htmx in (False, True):
        answer = ask(visitor, "import", htmx=htmx, **fields)
        assert answer.status_code == 422
        assert words in answer.content.decode()
        assert answer.headers.get("HX-Retarget") == ("#import-form" if htmx else None)
    assert not Import.objects.exists()
    assert not Dataset.objects.exists()


def test_a_store_that_refuses_is_told(visitor: Client) -> None:
    answer = ask(visitor, "preview", source_path="attic")
    assert (answer.status_code, "There is no box" in answer.content.decode()) == (422, True)


def test_an_archived_dataset_takes_no_import(team: Team, visitor: Client) -> None:
    dataset = make_dataset(team, "scenes")
    Dataset.objects.filter(pk=dataset.pk).update(archived_at=dataset.created_at)
    assert "is archived" in ask(visitor, "into").content.decode()
    assert "is archived" in ask(visitor, "import", htmx=False).content.decode()
    assert not Version.objects.exists()


def test_without_connections(team: Team) -> None:
    assert "no connections yet" in page(page_client(make_member(team, Role.WRITER)), NEW)


def test_readers_follow_only(team: Team, visitor: Client) -> None:
    reader = page_client(make_member(team, Role.READER))
    ask(visitor, "import", htmx=False)
    seen = page(reader)
    assert "syncing" in seen
    assert "Cancel import" not in seen
    assert reader.get(NEW).status_code == 403
    assert ask(reader, "import", htmx=False).status_code == 403
    for word in ("cancel", "retry", "leave-out"):
        assert reader.post(f"{VERSION}import/{word}/").status_code == 403


def test_failed_files_are_named_and_retried(visitor: Client) -> None:
    shelf.CONTENT["b.csv"] = None
    ask(visitor, "import", htmx=False)
    work()
    failed = page(visitor)
    assert "1 of 3 files failed." in failed
    assert "<code>b.csv</code>: The shelf keeps this to itself." in failed
    assert "Retry failed files" in failed
    assert "Leave out the failed file and seal" in failed
    assert "Continue this upload" not in failed
    shelf.CONTENT["b.csv"] = b"?"
    visitor.post(f"{VERSION}import/retry/")
    assert "syncing" in page(visitor)
    work()
    assert Version.objects.get().file_count == 3


def test_what_can_be_no_file_is_counted_and_shown_with_what_is_wrong_in_it(visitor: Client) -> None:
    shelf.CONTENT["tab\there.txt"] = b"?"
    assert r"<code>tab\there.txt</code>" in ask(visitor, "preview").content.decode()
    ask(visitor, "import", htmx=False)
    work()
    failed = page(visitor)
    assert "1 of 4 files failed." in failed
    assert '3 <span class="muted">of 4</span>' in failed
    assert r"<code>tab\there.txt</code>" in failed
    assert r'<code class="wrap-any">tab\there.txt</code>' in page(visitor, f"{VERSION}import/problems/")


def test_an_import_that_could_not_begin_leads_to_its_connection(visitor: Client, connection: Connection) -> None:
    ask(visitor, "import", htmx=False)
    reason = "The secret key does not fit the access key."
    Import.objects.update(status=Import.Status.FAILED, error=reason)
    Version.objects.update(status=Version.Status.ERROR, error=reason)
    assert f'{reason} <a href="/teams/vision/connections/{connection.name}/">Open the connection</a>' in page(visitor)


def test_the_last_errors_are_shown_while_it_runs_and_the_first_ones_when_it_has_ended(visitor: Client) -> None:
    ask(visitor, "import", htmx=False)
    run = Import.objects.get()
    ImportProblem.objects.bulk_create(
        ImportProblem(run=run, path=f"{number}.txt", reason="It was denied.") for number in range(150)
    )
    Import.objects.update(status=Import.Status.COPYING, failed_files=150)
    assert [problem.path for problem in measure_import(Import.objects.get()).problems[:2]] == ["149.txt", "148.txt"]
    assert "These are the last 100." in page(visitor)
    Import.objects.update(status=Import.Status.FAILED)
    assert measure_import(Import.objects.get()).problems[0].path == "0.txt"


def make_problems(count: int, *, status: str = Import.Status.FAILED) -> None:
    """Let the newest import have failed with so many files."""
    run = Import.objects.latest("pk")
    ImportProblem.objects.bulk_create(
        ImportProblem(run=run, path=f"{number}.txt", key=f"{number}.txt", cause="denied", reason="It was denied.")
        for number in range(count)
    )
    Import.objects.filter(pk=run.pk).update(status=status, failed_files=count)


def test_all_problems_are_listed_page_by_page(visitor: Client) -> None:
    ask(visitor, "import", htmx=False)
    make_problems(250)
    problems = f"{VERSION}import/problems/"
    assert f'<a href="{problems}">Show all 250 problems</a>' in page(visitor)

    seen, address = [], problems
    for rows in (100, 100, 50):
        whole = page(visitor, address)
        found = re.findall(r"<code class=\"wrap-any\">(\d+)\.txt</code>", whole)
        assert len(found) == rows
        seen += found
        more = re.search(r'hx-get="([^"]+)"', whole)
        address = problems + more[1] if more else ""
    assert (seen, address) == ([str(number) for number in range(250)], "")


def test_more_problems_come_as_rows(visitor: Client) -> None:
    ask(visitor, "import", htmx=False)
    make_problems(101)
    problems = f"{VERSION}import/problems/"
    more = re.search(r'hx-get="([^"]+)"', page(visitor, problems))
    assert more is not None
    rows = visitor.get(problems + more[1], headers=HTMX).content.decode()
    assert rows.lstrip().startswith("<li>")
    assert "<html" not in rows
    assert "100.txt" in rows
    assert "Show more" not in rows


def test_who_may_see_problems(team: Team, visitor: Client) -> None:
    problems = f"{VERSION}import/problems/"
    ask(visitor, "import", htmx=False)
    assert "No file failed" in page(visitor, problems)
    make_problems(1)
    assert "0.txt" in page(page_client(make_member(team, Role.READER)), problems)
    assert page_client(make_member(make_team("other"), Role.ADMIN)).get(problems).status_code == 404
    make_version(Dataset.objects.get())
    assert visitor.get(f"{DATASET}versions/2/import/problems/").status_code == 404
    assert visitor.get(f"{problems}?cursor=nonsense").status_code == 422


def test_what_was_left_out_stays_to_be_seen(visitor: Client) -> None:
    shelf.CONTENT["b.csv"] = None
    ask(visitor, "import", htmx=False)
    work()
    visitor.post(f"{VERSION}import/leave-out/")
    run_seal(Version.objects.get().pk)
    assert f'<a href="{VERSION}import/problems/">Show which</a>' in page(visitor)
    assert '<code class="wrap-any">b.csv</code>' in page(visitor, f"{VERSION}import/problems/")


def test_failed_files_are_left_out(visitor: Client) -> None:
    shelf.CONTENT["b.csv"] = None
    ask(visitor, "import", htmx=False)
    work()
    visitor.post(f"{VERSION}import/leave-out/")
    run_seal(Version.objects.get().pk)
    done = page(visitor)
    assert "available" in done
    assert "without 1 file that failed" in done
    assert Version.objects.get().file_count == 2


def test_what_can_never_work_is_not_offered_to_be_retried(visitor: Client) -> None:
    shelf.CONTENT["z//z"] = b"x"
    ask(visitor, "import", htmx=False)
    work()
    failed = page(visitor)
    assert "<code>z//z</code>" in failed
    assert "Retry" not in failed
    assert "Trying again is of no use" in visitor.post(f"{VERSION}import/retry/", follow=True).content.decode()
    visitor.post(f"{VERSION}import/leave-out/")
    run_seal(Version.objects.get().pk)
    assert Version.objects.get().status == Version.Status.AVAILABLE


def test_cancel_and_go_on(visitor: Client) -> None:
    ask(visitor, "import", htmx=False)
    visitor.post(f"{VERSION}import/cancel/")
    cancelled = page(visitor)
    assert "The import was cancelled." in cancelled
    assert "Continue the import" in cancelled
    assert "Abandon" in cancelled
    assert "cancelled already" in visitor.post(f"{VERSION}import/cancel/", follow=True).content.decode()
    visitor.post(f"{VERSION}import/retry/")
    work()
    assert Version.objects.get().file_count == 3


def test_it_was_too_late_to_cancel(visitor: Client) -> None:
    ask(visitor, "import", htmx=False)
    work()
    run_seal(Version.objects.get().pk)
    assert "This import is finished already." in visitor.post(f"{VERSION}import/cancel/", follow=True).content.decode()


@pytest.mark.parametrize("cause", [Cause.CREDENTIALS, Cause.GATED, None])
def test_what_ends_after_the_listing_is_retried(
    visitor: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch, cause: Cause | None
) -> None:
    """Expired credentials, a gate that was closed, a full disk: no single file has failed."""
    monkeypatch.setattr(importing, "MOST_OUTAGES", 0)
    reserve = settings.DISK_RESERVE_BYTES
    with monkeypatch.context() as broken:
        if cause is None:
            settings.DISK_RESERVE_BYTES = 2**60
        else:
            broken.setattr(shelf.ShelfTree, "fetch", refuse(SourceError(cause, "The shelf is closed.")))
        ask(visitor, "import", htmx=False)
        run = work()
    settings.DISK_RESERVE_BYTES = reserve
    assert (run.status, run.is_listed, run.failed_files) == (Import.Status.FAILED, True, 0)
    failed = page(visitor)
    assert "Retry the import" in failed
    assert "Abandon" in failed
    visitor.post(f"{VERSION}import/retry/")
    work()
    assert Version.objects.get().file_count == 3


def test_a_pause_is_shown_until_it_is_over(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = SourceError(Cause.BUSY, "The shelf asks to slow down.", retry_after=90)
    with monkeypatch.context() as broken:
        broken.setattr(shelf.ShelfTree, "fetch", refuse(busy))
        ask(visitor, "import", htmx=False)
        while run_imports():
            pass
    paused = page(visitor)
    assert "<h2>Paused" in paused
    assert "The shelf asks to slow down." in paused

    Import.objects.update(paused_until=timezone.now())
    over = page(visitor)
    assert "<h2>Copying" in over
    assert "slow down" not in over

    # Also where the next turn does not bring it to its end.
    monkeypatch.setattr(shelf.ShelfTree, "fetch", refuse(StoppedError()))
    assert run_imports()
    assert Import.objects.values_list("status", "paused_until", "error").get() == (Import.Status.COPYING, None, "")


def test_without_its_connection_nothing_is_retried(visitor: Client, connection: Connection, admin: User) -> None:
    shelf.CONTENT["b.csv"] = None
    ask(visitor, "import", htmx=False)
    work()
    delete_connection(admin, connection=connection)
    failed = page(visitor)
    assert "Retry" not in failed
    assert "Leave out the failed file" in failed


def test_nothing_is_left_out_before_everything_was_tried(visitor: Client) -> None:
    """After a hundred failures in a row, the rest is not tried."""
    shelf.CONTENT.update({f"bad{number:04}": None for number in range(2500)})
    ask(visitor, "import", htmx=False)
    run = work()
    assert run.parts.waiting().exists()
    failed = page(visitor)
    assert "the rest was not tried" in failed
    assert "Leave out the failed" not in failed
    assert "can be left out once every file was tried" in failed
    assert "Retry the import" in failed


def test_a_path_without_files_is_not_offered_to_be_retried(visitor: Client) -> None:
    ask(visitor, "import", htmx=False, include="*.png")
    work()
    assert "Retry" not in page(visitor)
    assert "holds no files" in visitor.post(f"{VERSION}import/retry/", follow=True).content.decode()


def test_after_a_mistyped_path_the_open_version_goes_on(visitor: Client) -> None:
    ask(visitor, "import", htmx=False, source_path="attic")
    work()
    failed = page(visitor)
    assert f'href="{VERSION}changes/"' in failed
    link = "?into=1&amp;name=scenes&amp;connection=my-shelf&amp;source_path=attic&amp;prefix="
    assert link in failed
    assert "The files go into" in page(visitor, NEW + link.replace("&amp;", "&"))
    ask(visitor, "import", htmx=False, into="1")
    work()
    assert "Seal</button>" in page(visitor)


def test_a_failed_import_can_be_abandoned(visitor: Client) -> None:
    ask(visitor, "import", htmx=False, source_path="attic")
    work()
    assert "The import could not be finished.</b> There is no box" in page(visitor)
    visitor.post(f"{VERSION}abandon/")
    assert not Version.objects.exists()


def test_the_page_follows_until_the_import_has_ended(visitor: Client) -> None:
    ask(visitor, "import", htmx=False)
    status = f"{VERSION}status/?importing"
    moving = visitor.get(status, headers=HTMX)
    assert moving.content.decode().lstrip().startswith('<section class="panel" id="progress"')
    work()
    assert visitor.get(status, headers=HTMX).headers["HX-Refresh"] == "true"


def test_it_follows_also_where_nothing_is_sealed_at_the_end(visitor: Client) -> None:
    ask(visitor, "import", htmx=False)
    Import.objects.update(seal=False)
    work()
    assert Version.objects.get().status == Version.Status.UPLOADING
    assert visitor.get(f"{VERSION}status/?importing", headers=HTMX).headers["HX-Refresh"] == "true"
    whole = page(visitor)
    assert "Cancel import" not in whole
    assert "Seal</button>" in whole


def test_an_uploaded_version_has_no_import(team: Team, visitor: Client) -> None:
    make_available_version(make_dataset(team, "scenes"))
    assert visitor.post(f"{VERSION}import/cancel/").status_code == 404
    assert "Import it again" not in page(visitor)
