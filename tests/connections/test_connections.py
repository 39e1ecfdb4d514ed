"""The service: who may do what, what is judged, what an edit keeps, and what is refused while an import runs."""

from __future__ import annotations

import hashlib

import pytest

from datasets_app.errors import AppError, Conflict, Forbidden, Invalid, NotFound
from datasets_app.models import AuditEvent, Blob, Connection, Import, Pack, RememberedObject, Role, Team, User, Version
from datasets_app.services.connections import (
    browse_connection,
    check_connection,
    create_connection,
    delete_connection,
    edit_connection,
    get_connection,
    list_connections,
    list_revisions,
    stored_secrets,
)
from tests.connections.shelf import SECRET, VALUES
from tests.factories import make_dataset, make_member, make_team, make_user, make_version

pytestmark = pytest.mark.data_layer


@pytest.fixture
def writer(team: Team) -> User:
    return make_member(team, Role.WRITER)


@pytest.fixture
def reader(team: Team) -> User:
    return make_member(team, Role.READER)


def start_import(connection: Connection, status: str = "copying") -> Version:
    """Put an import by this connection into the state."""
    version = make_version(make_dataset(connection.team))
    Import.objects.create(
        version=version,
        connection=connection,
        connection_name=connection.name,
        provider=connection.provider,
        source_path="box0",
        status=status,
    )
    return version


def remember(connection: Connection) -> None:
    pack = Pack.objects.create(key="p", size=1, stored=True)
    blob = Blob.objects.create(sha256=hashlib.sha256(b"x").digest(), size=1, pack=pack, offset=0)
    RememberedObject.objects.create(connection=connection, fingerprint=b"f" * 32, blob=blob)


def fields_of(error: AppError) -> set[str]:
    return {item["field"] for item in error.errors}


def test_it_works(team: Team, admin: User, connection: Connection) -> None:
    (row,) = list_connections(admin, team="vision")
    assert (row.connection, row.import_count, row.active_count) == (connection, 0, 0)
    assert connection.settings == {
        "endpoint": "https://shelf.example.org",
        "user": "ada",
        "style": "plain",
        "pays": "on",
        "labels": "",
    }
    assert stored_secrets(connection) == ["secret"]
    walk = browse_connection(admin, connection=connection)
    assert [entry.path for entry in walk.entries] == ["box0", "box1"]
    rest = browse_connection(admin, connection=connection, cursor=walk.cursor or "")
    assert [entry.path for entry in rest.entries] == ["box2"]
    assert list_revisions(admin, connection=connection, path="box0") == ["main", "box0-old"]
    assert AuditEvent.objects.filter(verb="created connection", subject="my-shelf").exists()


def test_strangers_see_nothing(connection: Connection) -> None:
    other = make_member(make_team("other"), Role.ADMIN)
    for stranger in (make_user(), other):
        for act in (
            lambda who: list_connections(who, team="vision"),
            lambda who: get_connection(who, team="vision", name="my-shelf"),
            lambda who: create_connection(who, team="vision", name="x-x", provider="shelf", values=VALUES),
            lambda who: check_connection(who, connection=connection),
            lambda who: browse_connection(who, connection=connection),
            lambda who: edit_connection(who, connection=connection, values={}),
            lambda who: delete_connection(who, connection=connection),
        ):
            with pytest.raises(NotFound):
                act(stranger)


def test_readers_look_and_writers_use(connection: Connection, reader: User, writer: User) -> None:
    assert get_connection(reader, team="vision", name="my-shelf") == connection
    for act in (check_connection, browse_connection):
        with pytest.raises(Forbidden):
            act(reader, connection=connection)
        act(writer, connection=connection)
    for member in (reader, writer):
        with pytest.raises(Forbidden):
            create_connection(member, team="vision", name="another", provider="shelf", values=VALUES)
        with pytest.raises(Forbidden):
            edit_connection(member, connection=connection, values={"user": "x"})
        with pytest.raises(Forbidden):
            delete_connection(member, connection=connection)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"endpoint": ""}, {"endpoint"}),
        ({"endpoint": "ftp://x"}, {"endpoint"}),
        ({"secret": "", "endpoint": ""}, {"secret", "endpoint"}),
        ({"style": "rococo"}, {"style"}),
        ({"colour": "red"}, {"colour"}),
        ({"user": "a\0b"}, {"user"}),
        ({"user": "x" * 3000}, {"user"}),
    ],
)
def test_bad_input(team: Team, admin: User, change: dict[str, str], wrong: set[str]) -> None:
    with pytest.raises(Invalid) as refusal:
        create_connection(admin, team="vision", name="another", provider="shelf", values=VALUES | change)
    assert fields_of(refusal.value) == wrong
    assert not Connection.objects.exists()


@pytest.mark.parametrize("name", ["", "x", "a b", "new", "providers", "a/b"])
def test_bad_names(team: Team, admin: User, name: str) -> None:
    with pytest.raises(Invalid):
        create_connection(admin, team="vision", name=name, provider="shelf", values=VALUES)


def test_unknown_providers(team: Team, admin: User) -> None:
    with pytest.raises(Invalid, match="A provider is one of"):
        create_connection(admin, team="vision", name="another", provider="tape", values=VALUES)


def test_a_name_is_used_once_in_a_team(connection: Connection, admin: User) -> None:
    with pytest.raises(Conflict, match="already has a connection called my-shelf"):
        create_connection(admin, team="vision", name="my-shelf", provider="shelf", values=VALUES)
    other = make_member(make_team("other"), Role.ADMIN)
    create_connection(other, team="other", name="my-shelf", provider="shelf", values=VALUES)


def test_a_field_that_depends_on_another(connection: Connection, admin: User) -> None:
    with pytest.raises(Invalid) as refusal:
        edit_connection(admin, connection=connection, values={"style": "fine"})
    assert fields_of(refusal.value) == {"polish"}
    edit_connection(admin, connection=connection, values={"style": "fine", "polish": "wax"})
    assert stored_secrets(connection) == ["polish", "secret"]
    edit_connection(admin, connection=connection, values={"style": "plain"})
    assert stored_secrets(connection) == ["secret"]


def test_a_check_is_kept_until_the_next_edit(connection: Connection, admin: User) -> None:
    steps = check_connection(admin, connection=connection, path="box1")
    assert [step.ok for step in steps] == [True, True, True]
    connection.refresh_from_db()
    assert connection.checked["ok"]
    assert connection.checked["path"] == "box1"
    assert connection.checked_at is not None
    edit_connection(admin, connection=connection, values={"secret": "wrong"})
    assert Connection.objects.get().checked_at is None
    assert [step.ok for step in check_connection(admin, connection=connection)] == [True, False, None]
    connection.refresh_from_db()
    assert not connection.checked["ok"]


def test_what_a_source_raises_is_the_last_step(connection: Connection, admin: User) -> None:
    steps = check_connection(admin, connection=connection, path="attic")
    assert (steps[-1].ok, steps[-1].detail) == (False, "There is no box <attic>.")


def test_a_check_of_what_was_edited_meanwhile_is_not_kept(connection: Connection, admin: User) -> None:
    before = Connection.objects.get()
    edit_connection(admin, connection=connection, values={"user": "bob"})
    check_connection(admin, connection=before)
    assert Connection.objects.get().checked == {}


def test_an_empty_secret_keeps_the_old_one(connection: Connection, admin: User) -> None:
    edit_connection(admin, connection=connection, values={"user": "bob", "secret": "", "token": "t"})
    assert stored_secrets(connection) == ["secret", "token"]
    assert all(step.ok for step in check_connection(admin, connection=connection))
    edit_connection(admin, connection=connection, values={}, forget=["token"])
    assert stored_secrets(connection) == ["secret"]
    assert connection.settings["user"] == "bob"
    event = AuditEvent.objects.filter(verb="edited connection").first()
    assert event is not None
    assert event.details == {"changed": [], "replaced": [], "removed": ["token"]}


def test_a_needed_secret_cannot_be_removed(connection: Connection, admin: User) -> None:
    with pytest.raises(Invalid) as refusal:
        edit_connection(admin, connection=connection, values={}, forget=["secret"])
    assert fields_of(refusal.value) == {"secret"}


def test_secrets_are_not_sent_to_another_server(connection: Connection, admin: User) -> None:
    with pytest.raises(Invalid) as refusal:
        edit_connection(admin, connection=connection, values={"endpoint": "https://thief.example.org"})
    assert fields_of(refusal.value) == {"secret"}
    connection.refresh_from_db()
    assert connection.settings["endpoint"] == "https://shelf.example.org"
    new = {"endpoint": "https://thief.example.org", "secret": "another"}
    edit_connection(admin, connection=connection, values=new)
    assert Connection.objects.get().settings["endpoint"] == "https://thief.example.org"


def test_what_was_remembered_goes_with_the_settings(connection: Connection, admin: User) -> None:
    remember(connection)
    edit_connection(admin, connection=connection, values={"secret": "another"})
    assert RememberedObject.objects.count() == 1
    edit_connection(admin, connection=connection, values={"user": "bob"})
    assert RememberedObject.objects.count() == 0


def test_two_editors_do_not_undo_each_other(connection: Connection, admin: User) -> None:
    late = Connection.objects.get()
    edit_connection(admin, connection=connection, values={"user": "bob"})
    with pytest.raises(Conflict, match="edited by somebody else"):
        edit_connection(admin, connection=late, values={"style": "fine", "polish": "wax"})


def test_an_import_holds_its_connection(connection: Connection, admin: User) -> None:
    version = start_import(connection)
    with pytest.raises(Conflict, match=version.label):
        delete_connection(admin, connection=connection)
    with pytest.raises(Conflict, match=version.label):
        edit_connection(admin, connection=connection, values={"user": "bob"})
    connection.refresh_from_db()
    # Expired credentials must be replaceable while it waits for them.
    edit_connection(admin, connection=connection, values={"secret": SECRET})


def test_it_is_deleted_and_its_imports_stay(connection: Connection, admin: User) -> None:
    start_import(connection, "finished")
    remember(connection)
    delete_connection(admin, connection=connection)
    assert not Connection.objects.exists()
    run = Import.objects.get()
    assert (run.connection, run.connection_name) == (None, "my-shelf")
    with pytest.raises(NotFound):
        delete_connection(admin, connection=connection)
