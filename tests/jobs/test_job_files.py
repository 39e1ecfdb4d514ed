"""Logs are read in parts; outputs are shown and served, but nothing that a job links to."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets_app.errors import Invalid, NotFound
from datasets_app.models import Job, Role, Team, User
from datasets_app.services.job_files import list_outputs, log_path, open_output, output_dir, read_log
from tests.factories import make_member, make_user
from tests.jobs.conftest import Submit, run

pytestmark = pytest.mark.django_db

SCRIPT = """
mkdir -p model/deep; echo weights > model/deep/w.bin; echo top > top.txt; echo 'ü' > 'ü ?#%.txt'
ln -s /etc/passwd passwd; ln -s /etc etc; ln -s top.txt alias; ln -s model folder; mkfifo pipe
touch "$(printf 'bad\\377')"; touch -d @-99999999999 old; chmod 000 top.txt
"""


@pytest.fixture
def done(submit: Submit) -> Job:
    return run(submit(SCRIPT))


def test_it_works(done: Job, team: Team) -> None:
    reader = make_member(team, Role.READER)
    found = list_outputs(reader, job=done)
    assert [(o.name, o.kind, o.size) for o in found.items] == [
        ("model", "directory", 0),
        ("alias", "other", 0),
        ("bad\ufffd", "other", 0),
        ("etc", "other", 0),
        ("folder", "other", 0),
        ("old", "file", 0),
        ("passwd", "other", 0),
        ("pipe", "other", 0),
        ("top.txt", "file", 4),
        ("ü ?#%.txt", "file", 3),
    ]
    assert [o.path for o in list_outputs(reader, job=done, path="model/deep").items] == ["model/deep/w.bin"]
    with open_output(reader, job=done, path="model/deep/w.bin").file as file:
        assert file.read() == b"weights\n"


@pytest.mark.parametrize(
    "path",
    [
        "passwd",
        "etc/passwd",
        "alias",
        "folder/deep/w.bin",
        "pipe",
        "../log.txt",
        "model/../../log.txt",
        "model",
        "",
        "no",
        "a\0b",
        ".",
    ],
)
def test_what_is_not_served(done: Job, writer: User, path: str) -> None:
    with pytest.raises(NotFound):
        open_output(writer, job=done, path=path)


@pytest.mark.parametrize("path", ["etc", "folder", "..", "top.txt", "no"])
def test_what_is_not_listed(done: Job, writer: User, path: str) -> None:
    with pytest.raises(NotFound):
        list_outputs(writer, job=done, path=path)


def test_a_stranger_finds_nothing(done: Job) -> None:
    for look in (lambda who: read_log(who, job=done), lambda who: list_outputs(who, job=done)):
        with pytest.raises(NotFound):
            look(make_user())
    with pytest.raises(NotFound):
        open_output(make_user(), job=done, path="top.txt")


def test_a_job_that_never_ran_has_nothing(submit: Submit, writer: User) -> None:
    job = submit()
    assert read_log(writer, job=job) == (b"", 0, False)
    assert list_outputs(writer, job=job).items == []


def test_very_many_outputs_are_cut(done: Job, writer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets_app.services.job_files.MOST_OUTPUTS", 4)
    found = list_outputs(writer, job=done)
    assert len(found.items) == 4
    assert found.is_cut


def test_the_log_in_parts(submit: Submit, writer: User) -> None:
    job = run(submit("printf 'aü日🙂z'"))
    whole = "aü日🙂z".encode()
    offset, parts = 0, []
    while True:
        part = read_log(writer, job=job, offset=offset, limit=4)
        part.data.decode()
        parts.append(part.data)
        offset = part.next_offset
        if part.is_final:
            break
    assert b"".join(parts) == whole
    assert offset == len(whole)
    assert read_log(writer, job=job, offset=999) == (b"", 999, True)
    with pytest.raises(Invalid):
        read_log(writer, job=job, offset=-1)


def test_a_character_that_is_half_printed_waits(submit: Submit, writer: User) -> None:
    job = submit()
    log_path(job).parent.mkdir(parents=True)
    log_path(job).write_bytes("ab🙂".encode()[:-1])
    assert read_log(writer, job=job) == (b"ab", 2, False)
    run(job)
    assert read_log(writer, job=job, offset=2).data == "🙂".encode()[:-1]


def test_bytes_that_are_no_text_do_not_stall(submit: Submit, writer: User) -> None:
    job = submit()
    log_path(job).parent.mkdir(parents=True)
    log_path(job).write_bytes(b"\x80" * 10)
    assert read_log(writer, job=job).next_offset == 10


def test_a_link_in_place_of_the_whole_folder(done: Job, writer: User) -> None:
    folder = output_dir(done)
    folder.rename(folder.with_name("moved"))
    folder.symlink_to("/etc")
    with pytest.raises(NotFound):
        list_outputs(writer, job=done, path="ssl")
    with pytest.raises(NotFound):
        open_output(writer, job=done, path="passwd")
    assert Path("/etc/passwd").exists()
