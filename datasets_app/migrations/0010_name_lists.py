"""Names of files in a few texts for each directory, for the search (`store.name_lists`)."""

from itertools import groupby, islice
from operator import itemgetter

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from datasets_app.store.name_lists import LEAST_FILES, list_names

BATCH = 1000


def sort_as_bytes(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Names are compared with those of files, whose order is that of bytes on every database."""
    if schema_editor.connection.vendor == "postgresql":
        for column in ("first", "last"):
            schema_editor.execute(
                f'ALTER TABLE datasets_app_namelist ALTER COLUMN "{column}" TYPE varchar(255) COLLATE "C"'
            )


def list_all(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """List the names of the directories that are there: some seconds for each million of files."""
    alias = schema_editor.connection.alias
    files = apps.get_model("datasets_app", "File").objects.using(alias)
    lists = apps.get_model("datasets_app", "NameList")
    rows = files.order_by("directory_id", "name").values_list("directory_id", "name", "blob__size")
    made = (
        lists(directory_id=pk, **one._asdict())
        for pk, group in groupby(rows.iterator(chunk_size=20_000), key=itemgetter(0))
        if len(first := list(islice(group, LEAST_FILES))) == LEAST_FILES
        for one in list_names((name, size) for part in (first, group) for _, name, size in part)
    )
    while some := list(islice(made, BATCH)):
        lists.objects.using(alias).bulk_create(some)


class Migration(migrations.Migration):
    dependencies = [("datasets_app", "0009_idle_and_daily")]

    operations = [
        migrations.CreateModel(
            name="NameList",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("first", models.CharField(max_length=255)),
                ("last", models.CharField(max_length=255)),
                ("names", models.TextField()),
                ("least_size", models.PositiveBigIntegerField()),
                ("most_size", models.PositiveBigIntegerField()),
                (
                    "directory",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="datasets_app.directory",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("directory", "first"), name="name_list_first")],
            },
        ),
        migrations.RunPython(sort_as_bytes, migrations.RunPython.noop),
        migrations.RunPython(list_all, migrations.RunPython.noop),
    ]
