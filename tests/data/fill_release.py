r"""Fill an empty installation and write all of its rows and stored objects down, for `test_upgrade`.

Run it with the code of the release that is to be kept, and nothing else in the environment, then commit what it wrote:

    DATA_DIR=/tmp/filled DJANGO_SETTINGS_MODULE=flexai_site.settings ALLOWED_SOURCE_NETWORKS=127.0.0.0/8 \
        python -m tests.data.fill_release tests/data/release_NNNN.json
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command

Files = Mapping[str, bytes]


def main(target: Path) -> None:
    """Make the tables, fill them, write the file."""
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    from django.conf import settings

    fill(Path(settings.DATA_DIR) / "packs")
    text = json.dumps({"tables": "TABLES", **facts()}, indent=1, ensure_ascii=False)
    target.write_text(text.replace('"TABLES"', tables()) + "\n")


def fill(store: Path) -> None:
    """Do a bit of everything that people do. The names are those that the test goes on with."""
    from datasets_app.models import User
    from datasets_app.services.accounts import bootstrap
    from datasets_app.services.invitations import create_invitation
    from datasets_app.services.teams import create_team
    from datasets_app.services.tokens import create_token

    bootstrap(username="ada", password="correct horse battery", team="lab")
    ada = User.objects.get(username="ada")
    create_team(ada, name="other")
    fill_images(ada)
    fill_other(ada)
    fill_imported(ada)
    create_token(ada, name="laptop")
    create_invitation(ada, team="lab", role="reader", note="for bob")
    fill_lineage(ada)
    run_background(ada, store)
    # After everything that ends what is under way.
    fill_opened(ada)


def fill_images(ada: Any) -> None:  # noqa: ANN401 - no model can be named before the set-up
    """Three versions, the last one in the trash."""
    from datasets_app.services.datasets import create_dataset
    from datasets_app.services.trash import delete_version

    images = create_dataset(ada, team="lab", name="images", description="Pictures", tags=["vision"])
    train = {f"train/{n:02}.bin": bytes([n]) * (40 + n) for n in range(6)}
    odd = {"empty": b"", "a b": b"2", "A b": b"1", "ü/deep/er/x": b"deep"}
    seal(ada, images, train | odd | {"labels.csv": b"a,b\n1,2\n"}, message="first")
    seal(ada, images, {"labels.csv": b"a,b\n1,3\n", "train/06.bin": b"six" * 30}, ["train/00.bin", "A b"], base=1)
    delete_version(ada, version=seal(ada, images, {"only": b"in the trash"}))


def fill_other(ada: Any) -> None:  # noqa: ANN401
    """An archived dataset that shares bytes with the other team's, and one in the trash."""
    from datasets_app.services.archiving import archive_dataset
    from datasets_app.services.datasets import create_dataset
    from datasets_app.services.trash import delete_dataset

    text = create_dataset(ada, team="other", name="text", description="Archived")
    seal(ada, text, {"labels.csv": b"a,b\n1,2\n", "t/1": b"one"})
    archive_dataset(ada, team="other", name="text")
    seal(ada, create_dataset(ada, team="other", name="gone"), {"x": b"nobody else has it" * 2})
    delete_dataset(ada, team="other", name="gone")


def fill_imported(ada: Any) -> None:  # noqa: ANN401
    """One import that came to its end, and one that found what can't be a path."""
    from datasets_app.services.connections import create_connection
    from datasets_app.services.imports import import_dataset
    from tests.imports.bucket import Bucket, work
    from tests.servers import serve_s3

    with tempfile.TemporaryDirectory() as folder, serve_s3(Path(folder)) as server:
        values = {"endpoint": server.endpoint, "access": "keys"}
        values |= {"access_key": server.access_key, "secret_key": server.secret_key}
        connection = create_connection(ada, team="lab", name="store", provider="minio", values=values)
        bucket = Bucket(server)
        bucket.put({"good/a": b"imported", "good/d/b": b"too", "bad/a": b"fine", "bad/b\x02c": b"no path"})
        for name in ("good", "bad"):
            source = f"{bucket.name}/{name}"
            run = import_dataset(ada, team="lab", name=f"imported-{name}", connection=connection, source_path=source)
            assert work(run).problems.exists() is (name == "bad")


def fill_lineage(ada: Any) -> None:  # noqa: ANN401
    """What came with release 0005 and 0006: a label, a version made of others, a rule, an answer that is kept."""
    from datasets_app.models import Dataset, Version
    from datasets_app.services.composing import compose_version
    from datasets_app.services.idempotency import Answer, answer_once
    from datasets_app.services.labels import set_label
    from datasets_app.services.recipes import Part
    from datasets_app.services.retention import Limits, set_rule
    from datasets_app.services.versions import run_seal

    images = Dataset.objects.get(name="images")
    set_label(ada, dataset=images, name="prod", version=Version.objects.get(dataset=images, number=2))
    parts = [Part("images", 1, include=("train/*",)), Part("images", 2, prefix="second")]
    run_seal(compose_version(ada, team="lab", name="mixed", parts=parts, on_clash="first").pk)
    set_rule(ada, dataset=images, is_on=True, limits=Limits(keep_last=5))
    answer_once(ada, key="k", fingerprint="f", act=lambda: Answer(201, {"Location": "/x"}, b"{}"))


def run_background(ada: Any, store: Path) -> None:  # noqa: ANN401
    """What runs by the clock: jobs, verification that finds damage and its healing, space, summaries, a collection."""
    from datasets_app.models import Dataset, Job
    from datasets_app.services.garbage import collect_now
    from datasets_app.services.integrity import verify_now
    from datasets_app.services.jobs import Attachment, create_job
    from datasets_app.services.space import measure_versions, sample_space
    from datasets_app.services.summaries import run_summaries
    from tests.integrity.conftest import flip

    for name, status in (("done", "succeeded"), ("going", "running")):
        pinned = [Attachment("images", 1)]
        job = create_job(ada, team="lab", name=name, kind="training", command=["python", "train.py"], datasets=pinned)
        Job.objects.filter(pk=job.pk).update(status=status)
    flip(store, hashlib.sha256(b"deep").digest())
    verify_now(progress=lambda _run: None)
    healed = seal(ada, Dataset.objects.get(name="images"), {"healed": b"deep"})
    assert healed.number == 4
    measure_versions()
    sample_space()
    run_summaries()
    # Abandoned bytes are marked; their grace period is not over.
    abandon(ada)
    run = collect_now()
    assert run.status == "finished", run.error


def abandon(ada: Any) -> None:  # noqa: ANN401
    """Leave bytes behind that no version holds."""
    from datasets_app.models import Dataset
    from datasets_app.services.versions import abandon_version, create_version

    version = create_version(ada, dataset=Dataset.objects.get(name="images"))
    send(ada, version, {"left": b"left behind"})
    abandon_version(ada, version=version)


def fill_opened(ada: Any) -> None:  # noqa: ANN401
    """An open version in every state that a file can have, with changes of its base."""
    from datasets_app.models import Dataset
    from datasets_app.services.moving import Move, move_paths
    from datasets_app.services.plans import plan_files, remove_paths
    from datasets_app.services.staged import DeclaredFile
    from datasets_app.services.uploads import append, create_upload
    from datasets_app.services.versions import create_version

    version = create_version(ada, dataset=Dataset.objects.get(name="images"), base=2)
    remove_paths(ada, version=version, paths=["train/"])
    move_paths(ada, version=version, moves=[Move("ü/", "moved")])
    send(ada, version, {"half/stored": b"stored already"})
    plan_files(ada, version=version, files=[DeclaredFile("half/waiting", 7, None)])
    upload = create_upload(ada, version=version, path="half/growing", size=50)
    append(ada, upload=upload, offset=0, read=io.BytesIO(b"0123456789").read, length=10)


def seal(
    ada: Any,  # noqa: ANN401
    dataset: Any,  # noqa: ANN401
    files: Files,
    removed: list[str] | None = None,
    base: int | None = None,
    message: str = "",
) -> Any:  # noqa: ANN401
    """Make a version of files, on a base where one is given."""
    from datasets_app.models import Version
    from datasets_app.services.plans import remove_paths
    from datasets_app.services.versions import create_version, run_seal, seal_version

    version = create_version(ada, dataset=dataset, base=base, message=message)
    if removed:
        remove_paths(ada, version=version, paths=removed)
    send(ada, version, files)
    seal_version(ada, version=version)
    run_seal(version.pk)
    return Version.objects.select_related("dataset__team").get(pk=version.pk, status="available")


def send(ada: Any, version: Any, files: Files) -> None:  # noqa: ANN401
    """Send files as one bundle."""
    from datasets_app.services.plans import plan_files
    from datasets_app.services.staged import DeclaredFile
    from datasets_app.services.uploads import append, create_bundle

    listed = [DeclaredFile(path, len(data), hashlib.sha256(data).digest()) for path, data in files.items()]
    planned = plan_files(ada, version=version, files=listed)
    needed = [item.path for item in planned.files if item.state != "stored"]
    if needed:
        upload = create_bundle(ada, version=version, paths=needed)
        body = io.BytesIO(b"".join(files[path] for path in needed))
        append(ada, upload=upload, offset=0, read=body.read, length=upload.size)


def facts() -> dict[str, Any]:
    """The stored objects in base64, and what each sealed version is said to hold."""
    from django.conf import settings

    from datasets_app.models import Version
    from datasets_app.services.walking import walk_files

    versions = {}
    for version in Version.objects.filter(status="available").select_related("dataset__team", "root"):
        assert version.root is not None
        files = {file.path: file.sha256.hex() for file in walk_files(version.root)}
        versions[f"{version.dataset.team}/{version.label}"] = {"digest": version.digest, "files": files}
    folder = Path(settings.DATA_DIR)
    return {"store": objects(folder / "packs"), "staging": objects(folder / "staging"), "versions": versions}


def objects(folder: Path) -> dict[str, str]:
    """All files of a folder, by their paths in it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): base64.b64encode(path.read_bytes()).decode() for path in found}


def tables() -> str:
    """All rows of our tables as JSON, a row a line."""
    from django.db import connection

    written = []
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            if not table.startswith("datasets_app_"):
                continue
            cursor.execute(f'SELECT * FROM "{table}" ORDER BY 1')
            columns = [column[0] for column in cursor.description]
            rows = [json.dumps([as_json(value) for value in row], ensure_ascii=False) for row in cursor.fetchall()]
            if rows:
                lines = ",\n   ".join(rows)
                written.append(f'  "{table}": {{"columns": {json.dumps(columns)}, "rows": [\n   {lines}\n  ]}}')
    return "{\n" + ",\n".join(written) + "\n }"


def as_json(value: Any) -> Any:  # noqa: ANN401 - whatever a database has
    """Write bytes as base64, times as SQLite has them."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return str(value) if isinstance(value, date) else value


if __name__ == "__main__":
    main(Path(sys.argv[1]))
