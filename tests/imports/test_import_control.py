"""What people do about an import: cancel, retry, leave out, seal by hand, abandon; and who may."""

from __future__ import annotations

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from datasets_app.errors import Conflict, Forbidden, Invalid, NotFound
from datasets_app.models import Import, ImportPart, Role, StagedFile, Version
from datasets_app.services import importing
from datasets_app.services.connections import delete_connection
from datasets_app.services.imports import (
    cancel_import,
    find_imports,
    get_import,
    import_dataset,
    leave_out_failed,
    measure_import,
    preview_import,
    retry_import,
    start_import,
)
from datasets_app.services.versions import abandon_version, seal_version
from datasets_app.store.patterns import Patterns
from tests.factories import make_dataset, make_member, make_user, make_version, stage_files
from tests.imports.bucket import Bucket, Importer, files_of
from tests.imports.front import S3Front
from tests.servers import S3Server

pytestmark = [pytest.mark.server, pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]

DENIED = b"<Error><Code>AccessDenied</Code></Error>"


def test_a_preview_tells_what_would_come(importer: Importer, bucket: Bucket) -> None:
    bucket.put({"a.txt": b"known", "dir/b.txt": b"new!!", "c.jpg": b"no"})
    importer.bring(bucket.name, include=["a.txt"])

    found = preview_import(
        importer.writer, connection=importer.connection, source_path=bucket.name, include=["*.txt"], prefix="to"
    )

    assert found.is_whole
    assert (found.files, found.size, found.skipped_files) == (2, 10, 1)
    assert found.first_paths == [("to/a.txt", 5), ("to/dir/b.txt", 5)]
    assert (found.stored_files, found.stored_size) == (1, 5)
    assert Import.objects.count() == 1


def test_retry_goes_on_with_what_failed(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    files = {f"file{n:03}": b"%d" % n for n in range(60)}
    bucket.put(files)
    fault = front.fail(rf"GET /{bucket.name}/file00[0-9]", times=-1, status=403, body=DENIED)
    run = fronted.bring(bucket.name)
    assert (run.status, run.failed_files) == (Import.Status.FAILED, 10)
    assert measure_import(run).problems[0].cause == "denied"
    with pytest.raises(Conflict, match="Retry it"):
        seal_version(fronted.writer, version=run.version)
    fault.times = 0
    front.forget()

    run = fronted.work(retry_import(fronted.writer, run=run))

    assert (run.status, run.failed_files, run.copied_files) == (Import.Status.FINISHED, 0, 60)
    assert len(front.reads()) == 10
    assert not run.problems.exists()
    assert files_of(run.version) == files
    with pytest.raises(Conflict):
        retry_import(fronted.writer, run=run)


def test_failed_files_are_left_out_only_when_told(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    bucket.put({"good": b"1", "bad": b"2"})
    front.fail(rf"GET /{bucket.name}/bad", times=-1, status=403, body=DENIED)
    run = fronted.bring(bucket.name)
    assert run.version.status == Version.Status.ERROR

    run = fronted.work(leave_out_failed(fronted.writer, run=run))

    assert run.status == Import.Status.FINISHED
    assert files_of(run.version) == {"good": b"1"}
    assert run.version.source["left_out"] == 1


def test_nothing_is_left_out_that_was_not_tried(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    bucket.put({f"file{n:04}": b"x%d" % n for n in range(1200)})
    front.fail(rf"GET /{bucket.name}/f", times=-1, status=403, body=DENIED)
    run = fronted.bring(bucket.name)
    assert "not tried" in run.error

    with pytest.raises(Conflict, match="retry"):
        leave_out_failed(fronted.writer, run=run)


def test_cancel_stops_it_at_once_and_retry_goes_on(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    files = {f"file{n:04}": b"%d" % n * 100 for n in range(2500)}
    bucket.put(files)
    run = fronted.start(bucket.name)
    importing.run_imports()

    def cancel() -> None:
        Import.objects.filter(pk=run.pk).update(status=Import.Status.CANCELLED)
        # This runs in a thread of the front.
        connection.close()

    # As soon as some are on their way, somebody cancels.
    front.fail(rf"GET /{bucket.name}/file01", then=cancel)
    front.fail(rf"GET /{bucket.name}/file0[2-9]", times=-1, delay=0.3)
    importing.run_imports()
    run.refresh_from_db()
    assert run.status == Import.Status.CANCELLED
    assert len(front.reads()) < 1500
    assert not importing.run_imports()
    assert not ImportPart.objects.filter(lease_until__isnull=False).exists()
    front.recover()

    run = fronted.work(retry_import(fronted.writer, run=run))

    assert run.copied_files == 2500
    assert files_of(run.version) == files


def test_a_cancelled_import_leaves_an_open_version(importer: Importer, bucket: Bucket) -> None:
    bucket.put({"a": b"1"})
    run = cancel_import(importer.writer, run=importer.start(bucket.name))
    assert run.status == Import.Status.CANCELLED
    run.version.refresh_from_db()
    assert run.version.status == Version.Status.ERROR
    assert "cancelled" in run.version.error
    with pytest.raises(Conflict):
        cancel_import(importer.writer, run=run)
    abandon_version(importer.writer, version=run.version)
    assert not Import.objects.exists()


def test_while_it_runs_nobody_seals_and_abandoning_ends_it(importer: Importer, bucket: Bucket) -> None:
    bucket.put({f"file{n}": b"x%d" % n for n in range(50)})
    run = importer.start(bucket.name)
    with pytest.raises(Conflict, match="under way"):
        seal_version(importer.writer, version=run.version)
    with pytest.raises(Conflict, match="under way"):
        start_import(importer.writer, version=run.version, connection=importer.connection, source_path=bucket.name)
    with pytest.raises(Conflict):
        delete_connection(make_member(importer.team, Role.ADMIN), connection=importer.connection)
    importing.run_imports()

    abandon_version(importer.writer, version=run.version)

    assert not importing.run_imports()
    assert not StagedFile.objects.exists()
    assert not ImportPart.objects.exists()


def test_a_version_with_a_failed_start_takes_uploads_instead(importer: Importer) -> None:
    run = importer.bring("imports/there-is-nothing-here")
    assert run.status == Import.Status.FAILED
    stage_files(run.version, {"by-hand": b"x"})
    seal_version(importer.writer, version=run.version)
    run.version.refresh_from_db()
    assert run.version.status == Version.Status.PENDING


def test_a_team_runs_some_at_a_time(
    importer: Importer, bucket: Bucket, s3_server: S3Server, settings: Settings
) -> None:
    settings.IMPORTS_PER_TEAM = 1
    bucket.put({"a": b"1"})
    first = importer.start(bucket.name, name="first")
    second = importer.start(bucket.name, name="second")
    other = Importer.create(s3_server).start(bucket.name)
    statuses = [run.status for run in (first, second, other)]
    assert statuses == [Import.Status.LISTING, Import.Status.WAITING, Import.Status.LISTING]

    importer.work(first)

    second.refresh_from_db()
    assert second.status != Import.Status.WAITING
    assert importer.work(second).status == Import.Status.FINISHED


def test_imports_take_turns(importer: Importer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "TURN_SECONDS", 0.0)
    bucket.put({f"file{n:04}": b"x%d" % n for n in range(1500)})
    runs = [importer.start(bucket.name, name=name) for name in ("one", "two")]
    served = []
    for _ in range(4):
        importing.run_imports()
        served.append(Import.objects.latest("served_at").pk)
    assert served == [runs[0].pk, runs[1].pk, runs[0].pk, runs[1].pk]


def test_bad_input_is_told_with_its_field(importer: Importer) -> None:
    for wrong, field in (
        ({"include": ["x" * 2000]}, "include"),
        ({"exclude": ["*"] * 200}, "exclude"),
        ({"prefix": "a/../b"}, "prefix"),
        ({"source_path": "x" * 3000}, "source_path"),
        ({"source_path": " / "}, "source_path"),
        ({"revision": "y" * 300}, "revision"),
        ({"name": "no spaces"}, "name"),
    ):
        with pytest.raises(Invalid) as caught:
            importer.start(**{"source_path": "bucket"} | wrong)
        assert caught.value.errors[0]["field"] == field
    assert not Version.objects.exists()


def test_strangers_and_readers(importer: Importer, bucket: Bucket, s3_server: S3Server) -> None:
    bucket.put({"a": b"1"})
    run = importer.start(bucket.name)
    stranger, reader = make_user(), make_member(importer.team, Role.READER)
    for actor, refusal in ((stranger, NotFound), (reader, Forbidden)):
        for act in (cancel_import, retry_import, leave_out_failed):
            with pytest.raises(refusal):
                act(actor, run=run)
        with pytest.raises(refusal):
            import_dataset(
                actor, team=importer.team.name, name="new", connection=importer.connection, source_path=bucket.name
            )
        with pytest.raises(refusal):
            preview_import(actor, connection=importer.connection, source_path=bucket.name)
    with pytest.raises(NotFound):
        find_imports(stranger, version=run.version)
    assert find_imports(reader, version=run.version) == [run]
    assert get_import(reader, version=run.version) == run


def test_another_teams_connection_is_not_found(importer: Importer, s3_server: S3Server) -> None:
    other = Importer.create(s3_server)
    version = make_version(make_dataset(importer.team))
    with pytest.raises(NotFound):
        start_import(importer.writer, version=version, connection=other.connection, source_path="bucket")
    # Not even for somebody who is in both teams.
    both = other.writer
    both.memberships.create(team=importer.team, role=Role.WRITER)
    with pytest.raises(NotFound):
        start_import(both, version=version, connection=other.connection, source_path="bucket")


@pytest.mark.parametrize(
    ("pattern", "taken", "left"),
    [
        ("*.jpg", ["a.jpg", "x/y/a.jpg"], ["a.jpgx", "jpg"]),
        ("/a.txt", ["a.txt"], ["b/a.txt"]),
        ("train/*.jpg", ["train/a.jpg"], ["train/x/a.jpg", "x/train/a.jpg"]),
        ("train/", ["train/x", "q/train/x"], ["train"]),
        ("train/**", ["train/x/a"], ["train"]),
        ("a/**/b", ["a/b", "a/x/y/b", "a/b/c"], ["a/xb", "b"]),
        ("[!a-c]?.t*t", ["d1.txt", "d1.tt"], ["a1.txt", "d.txt"]),
        ("*a*b", ["xaxb", "ab"], ["ba", "xa"]),
        ("été*", ["e\u0301te\u0301s"], ["ete"]),
        ("[", ["["], ["a"]),
    ],
)
def test_patterns(pattern: str, taken: list[str], left: list[str]) -> None:
    patterns = Patterns(include=[pattern])
    assert [path for path in taken + left if patterns.takes(path)] == taken
    assert [path for path in taken + left if Patterns(exclude=[pattern]).takes(path)] == left
