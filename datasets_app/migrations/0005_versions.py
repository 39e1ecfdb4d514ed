from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import datasets_app.models.fields

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import StateApps


def sort_as_bytes(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Moves are merged with staged files and removals, whose order is that of bytes on every database."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute('ALTER TABLE datasets_app_stagedmove ALTER COLUMN path TYPE varchar(4096) COLLATE "C"')


def keep_guards(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give a version's row its guards again: to take a column away, SQLite writes the table anew, without triggers.

    Migration 0002 has made them; so those that are not there any more are made as it says.
    """
    if schema_editor.connection.vendor == "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        there = {name for (name,) in cursor.fetchall()}
    immutability = import_module("datasets_app.migrations.0002_immutability")
    for statement in immutability.sqlite_statements():
        if statement.split()[2] not in there:
            schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [
        ("datasets_app", "0004_garbage"),
    ]

    operations = [
        # Going back, this is the last of all.
        migrations.RunPython(migrations.RunPython.noop, keep_guards),
        migrations.CreateModel(
            name="VersionSpace",
            fields=[
                (
                    "version",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="space",
                        serialize=False,
                        to="datasets_app.version",
                    ),
                ),
                ("stored_size", models.PositiveBigIntegerField()),
                ("added_size", models.PositiveBigIntegerField()),
                ("own_size", models.PositiveBigIntegerField(default=0)),
                ("own_key", models.CharField(blank=True, max_length=64)),
            ],
        ),
        migrations.AddField(
            model_name="dataset",
            name="deleted_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="version",
            name="deleted_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.CreateModel(
            name="Label",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=63)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "dataset",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="labels",
                        to="datasets_app.dataset",
                    ),
                ),
                (
                    "updated_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="labels", to="datasets_app.version"
                    ),
                ),
            ],
            options={
                "ordering": ("name",),
                "constraints": [
                    models.UniqueConstraint(fields=("dataset", "name"), name="label_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("name__regex", "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"),
                            models.Q(("name__regex", "^[0-9]+$"), _negated=True),
                            models.Q(("name__iexact", "latest"), _negated=True),
                        ),
                        name="label_rule",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Lineage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("dataset_name", models.CharField(max_length=63)),
                ("version_number", models.PositiveIntegerField()),
                ("digest", models.CharField(max_length=80)),
                (
                    "source",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="used_by",
                        to="datasets_app.version",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lineage",
                        to="datasets_app.version",
                    ),
                ),
            ],
            options={
                "ordering": ("position",),
                "constraints": [models.UniqueConstraint(fields=("version", "position"), name="lineage_position_once")],
            },
        ),
        migrations.CreateModel(
            name="RetentionRule",
            fields=[
                (
                    "dataset",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="retention",
                        serialize=False,
                        to="datasets_app.dataset",
                    ),
                ),
                ("is_on", models.BooleanField(default=False)),
                ("keep_last", models.PositiveIntegerField(blank=True, null=True)),
                ("older_than_days", models.PositiveIntegerField(blank=True, null=True)),
                ("keep_labelled", models.BooleanField(default=True)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "updated_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("is_on", False),
                            ("keep_last__isnull", False),
                            ("older_than_days__isnull", False),
                            _connector="OR",
                        ),
                        name="retention_has_a_limit",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("keep_last__isnull", True), ("keep_last__gte", 1), _connector="OR"),
                        name="retention_keeps_one",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SpaceSample",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("key", models.CharField(max_length=64)),
                ("version_count", models.PositiveIntegerField()),
                ("logical_size", models.PositiveBigIntegerField()),
                ("live_size", models.PositiveBigIntegerField()),
                ("trash_size", models.PositiveBigIntegerField()),
                ("open_size", models.PositiveBigIntegerField()),
                (
                    "dataset",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="datasets_app.dataset",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="datasets_app.team",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("dataset__isnull", False)),
                        fields=("dataset", "day"),
                        name="space_sample_dataset_day",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("dataset__isnull", True)),
                        fields=("team", "day"),
                        name="space_sample_team_day",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StagedMove",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("path", datasets_app.models.fields.TreePathField(max_length=4096)),
                ("origin", datasets_app.models.fields.TreePathField(max_length=4096)),
                (
                    "directory",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="datasets_app.directory",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="moves",
                        to="datasets_app.version",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("version", "path"), name="move_once")],
            },
        ),
        migrations.RunPython(sort_as_bytes, migrations.RunPython.noop),
    ]
