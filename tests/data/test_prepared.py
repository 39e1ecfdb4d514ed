"""Prepared queries find what the ORM finds, and give the same instances."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from datasets_app.errors import NotFound
from datasets_app.models import ApiToken, Role, Upload, User, Version
from datasets_app.models.prepared import Prepared, PreparedUpdate, Slot
from datasets_app.services.tokens import create_token
from datasets_app.services.versions import find_version
from tests.factories import make_dataset, make_member, make_team, make_user, make_version

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db]

_UPLOAD = Prepared(
    lambda: (
        Upload.objects.visible_to(Slot("user"))
        .filter(pk=Slot("id"), expires_at__gt=Slot("now"))
        .select_related("version__dataset__team", "created_by", "version__base")
    )
)


def make_upload(user: User, version: Version) -> Upload:
    expires = timezone.now() + timedelta(hours=1)
    return Upload.objects.create(version=version, created_by=user, kind="file", size=3, expires_at=expires)


def plain(row: Upload) -> list[dict[str, object]]:
    """All columns of the row and of those that hang on it."""
    rows = (row, row.created_by, row.version, row.version.dataset, row.version.dataset.team)
    return [{k: v for k, v in vars(found).items() if k != "_state"} for found in rows if found is not None]


def test_it_works() -> None:
    team = make_team()
    user = make_member(team)
    upload = make_upload(user, make_version(make_dataset(team)))
    queryset = Upload.objects.select_related("version__dataset__team", "created_by", "version__base")
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            found = _UPLOAD.first(user=user.pk, id=upload.pk, now=timezone.now())
            assert found is not None
            assert found.version.base is None
            assert found.version.dataset.team == team
            assert isinstance(found.version.warnings, list)
        assert len(queries) == 1
        assert plain(found) == plain(queryset.get(pk=upload.pk))


def test_what_the_slots_leave_out_is_not_found() -> None:
    team = make_team()
    user = make_member(team)
    upload = make_upload(user, make_version(make_dataset(team)))
    now = timezone.now()
    assert _UPLOAD.first(user=make_user().pk, id=upload.pk, now=now) is None
    assert _UPLOAD.first(user=user.pk, id=uuid.uuid4(), now=now) is None
    assert _UPLOAD.first(user=user.pk, id=upload.pk, now=now + timedelta(hours=2)) is None


def test_a_found_row_is_an_ordinary_instance() -> None:
    team = make_team()
    user = make_member(team)
    found = _UPLOAD.first(user=user.pk, id=make_upload(user, make_version(make_dataset(team))).pk, now=timezone.now())
    assert found is not None
    found.error = "changed"
    found.save(update_fields=["error"])
    found.refresh_from_db()
    assert found.error == "changed"


def test_a_token_of_another_team_finds_no_version() -> None:
    ours, theirs = make_team(), make_team()
    user = make_member(ours, Role.ADMIN)
    version = make_version(make_dataset(ours))
    dataset, number = version.dataset.name, version.number
    for team, is_found in ((ours, True), (theirs, False)):
        theirs.memberships.get_or_create(user=user, defaults={"role": Role.ADMIN})
        token, _ = create_token(User.objects.get(pk=user.pk), name="t", team=team.name)
        actor = User.objects.get(pk=user.pk)
        actor.access_token = ApiToken.objects.get(pk=token.pk)
        if is_found:
            assert find_version(actor, team=ours.name, dataset=dataset, number=number) == version
        else:
            with pytest.raises(NotFound):
                find_version(actor, team=ours.name, dataset=dataset, number=number)


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 10**30])
def test_a_number_that_no_version_has_is_not_found(number: int) -> None:
    dataset = make_dataset(make_team())
    user = make_member(dataset.team)
    with pytest.raises(NotFound):
        find_version(user, team=dataset.team.name, dataset=dataset.name, number=number)


def test_an_update_writes_what_comes_with_each_call() -> None:
    team = make_team()
    user = make_member(team)
    first, second = (make_upload(user, make_version(make_dataset(team))) for _ in range(2))
    change = PreparedUpdate(
        lambda: Upload.objects.filter(pk=Slot("id"), status__in=("receiving", "received")), "status", "expires_at"
    )
    moment = timezone.now() + timedelta(days=3)
    with CaptureQueriesContext(connection) as queries:
        assert change.run(id=first.pk, status="finished", expires_at=moment) == 1
        # It is no longer one of those.
        assert change.run(id=first.pk, status="failed", expires_at=timezone.now()) == 0
    assert len(queries) == 2
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, first.expires_at, second.status) == ("finished", moment, "receiving")


def test_an_update_writes_what_the_field_holds() -> None:
    version = make_version(make_dataset(make_team()))
    change = PreparedUpdate(lambda: Version.objects.filter(pk=Slot("id")), "source", "touched_at")
    for source, moment in (({"kind": "tést", "list": [1, 2.5, None]}, timezone.now()), ({}, None)):
        assert change.run(id=version.pk, source=source, touched_at=moment) == 1
        version.refresh_from_db()
        assert (version.source, version.touched_at) == (source, moment)
