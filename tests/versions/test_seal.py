"""Sealing builds the tree, whatever the order and the way in which files came."""

from __future__ import annotations

import pytest

from datasets_app.models import Directory, File, StagedFile, Subdirectory, Version
from datasets_app.services.manifests import manifest_lines
from datasets_app.services.versions import run_seal, seal_version
from datasets_app.services.walking import walk_files
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_version, stage_files

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]
FILES = {"a": b"1", "a-b/c": b"2", "a.b/c/d": b"3", "z/y/x": b"4", "z/w": b"", "é": b"5"}


def paths_of(version: Version) -> dict[str, int]:
    assert version.root is not None
    return {file.path: file.size for file in walk_files(version.root)}


def test_it_works() -> None:
    version = make_available_version(make_dataset(make_team()), FILES)
    assert version.status == "available"
    assert (version.file_count, version.size) == (6, 5)
    assert paths_of(version) == {path: len(data) for path, data in FILES.items()}
    assert version.manifest_key
    assert len(b"".join(manifest_lines(version)).splitlines()) == 6
    assert not StagedFile.objects.exists()


def test_equal_content_has_equal_digest_and_shares_every_row() -> None:
    first = make_available_version(make_dataset(make_team()), FILES)
    rows = (Directory.objects.count(), File.objects.count(), Subdirectory.objects.count())
    second = make_available_version(make_dataset(make_team()), dict(reversed(FILES.items())))
    assert second.digest == first.digest
    assert (Directory.objects.count(), File.objects.count(), Subdirectory.objects.count()) == rows


def test_a_new_version_keeps_its_base_and_lays_changes_over_it() -> None:
    dataset = make_dataset(make_team())
    make_available_version(dataset, FILES)
    second = make_available_version(dataset, {"z/new": b"n", "a": b"changed"}, base=1)
    assert paths_of(second) == {path: len(data) for path, data in FILES.items()} | {"z/new": 1, "a": 7}
    same = make_available_version(make_dataset(make_team()), FILES | {"z/new": b"n", "a": b"changed"})
    assert same.digest == second.digest


def test_a_clash_of_file_and_folder_is_named_and_can_be_mended() -> None:
    dataset = make_dataset(make_team())
    make_available_version(dataset, FILES)
    actor = make_member(dataset.team)
    version = make_version(dataset, base=1)
    stage_files(version, {"a/inside": b"!", "fine": b"."})
    seal_version(actor, version=version)
    run_seal(version.pk)
    version.refresh_from_db()
    assert version.status == "error"
    assert "'a'" in version.error
    assert [row.path for row in StagedFile.objects.failed()] == ["a/inside"]


def test_sealing_twice_is_harmless() -> None:
    version = make_available_version(make_dataset(make_team()), FILES)
    run_seal(version.pk)
    assert Version.objects.get(pk=version.pk).digest == version.digest


def test_names_that_differ_in_case_are_a_warning() -> None:
    version = make_available_version(make_dataset(make_team()), {"Readme": b"1", "README": b"2"})
    assert "Readme" in version.warnings[0]
