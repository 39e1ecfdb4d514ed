"""Large files: read in ranges, and after a worker's death only what was not durable yet is read again."""

from __future__ import annotations

import random
import re

import pytest

from datasets_app.models import Import, ImportPart
from datasets_app.services import content, importing, landing
from datasets_app.services.large_copies import LargeCopies
from tests.imports.bucket import Bucket, Importer, files_of
from tests.imports.front import S3Front

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

MIB = 2**20


class DeathError(BaseException):
    """The process is gone: nothing that would run after it runs."""


def test_a_large_file_goes_on_where_it_was_durable(
    fronted: Importer, bucket: Bucket, front: S3Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "DURABLE_BYTES", 16 * MIB)
    data = random.Random(2).randbytes(120 * MIB + 3)
    bucket.put({"big": data})
    run = fronted.start(bucket.name)
    importing.run_imports()

    whole = LargeCopies._keep_durable  # noqa: SLF001

    def keep_and_die(self: LargeCopies, large: landing.LargeFile) -> None:
        whole(self, large)
        if large.hashed >= 100 * MIB and large.durable:
            raise DeathError

    monkeypatch.setattr(LargeCopies, "_keep_durable", keep_and_die)
    with pytest.raises(DeathError):
        importing.run_imports()
    monkeypatch.setattr(LargeCopies, "_keep_durable", whole)
    part = ImportPart.objects.get()
    assert part.staged_size >= 16 * MIB
    assert content.staging().offset(part.staged_as) >= part.staged_size  # type: ignore[arg-type]
    front.forget()

    run = fronted.work(run)

    assert run.status == Import.Status.FINISHED
    offsets = [
        int(found[1]) for r in front.requests if (found := re.match(r"bytes=(\d+)-", r.headers.get("range", "")))
    ]
    assert min(offsets) == part.staged_size
    assert files_of(run.version) == {"big": data}
    assert part.staged_as not in {staged.upload for staged in content.staging().staged()}


def test_many_files_of_middling_size(importer: Importer, bucket: Bucket) -> None:
    noise = random.Random(4)
    files = {f"shard-{n:02}": noise.randbytes(noise.choice([8 * MIB - 1, 8 * MIB, 9 * MIB])) for n in range(12)}
    files |= {f"small-{n:02}": noise.randbytes(500) for n in range(40)}
    bucket.put(files)

    run = importer.bring(bucket.name)

    assert files_of(run.version) == files
