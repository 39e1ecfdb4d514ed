from __future__ import annotations

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
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute('ALTER TABLE datasets_app_damagedpath ALTER COLUMN path TYPE varchar(4096) COLLATE "C"')


class Migration(migrations.Migration):
    dependencies = [
        ("datasets_app", "0003_imports"),
    ]

    operations = [
        migrations.CreateModel(
            name="RetiredPack",
            fields=[
                (
                    "pack",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="datasets_app.pack",
                    ),
                ),
                ("since", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="StorageSample",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_index=True)),
                ("pack_size", models.PositiveBigIntegerField()),
                ("blob_size", models.PositiveBigIntegerField()),
                ("logical_size", models.PositiveBigIntegerField()),
                ("unused_size", models.PositiveBigIntegerField()),
                ("pack_count", models.PositiveBigIntegerField()),
                ("blob_count", models.PositiveBigIntegerField()),
            ],
            options={
                "ordering": ("-at",),
            },
        ),
        migrations.CreateModel(
            name="UnreferencedBlob",
            fields=[
                (
                    "blob",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="datasets_app.blob",
                    ),
                ),
                ("since", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="UnreferencedDirectory",
            fields=[
                (
                    "directory",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="datasets_app.directory",
                    ),
                ),
                ("since", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="CollectionRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("lease_token", models.UUIDField(editable=False, null=True)),
                ("lease_until", models.DateTimeField(editable=False, null=True)),
                ("attempts", models.PositiveIntegerField(default=0, editable=False)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("is_dry_run", models.BooleanField(default=False)),
                ("forget_unknown", models.BooleanField(default=False)),
                ("step", models.CharField(blank=True, max_length=40)),
                ("report", models.JSONField(default=dict)),
                ("notes", models.JSONField(default=list)),
                ("error", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("started_at", models.DateTimeField(editable=False, null=True)),
                ("finished_at", models.DateTimeField(editable=False, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="Damage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "cause",
                    models.CharField(
                        choices=[("missing", "Missing"), ("changed", "Changed"), ("tree", "Tree")], max_length=10
                    ),
                ),
                ("detail", models.TextField(blank=True)),
                ("found_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("healed_at", models.DateTimeField(editable=False, null=True)),
                ("is_traced", models.BooleanField(default=False, editable=False)),
                ("is_listed", models.BooleanField(default=False, editable=False)),
                (
                    "blob",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="damages",
                        to="datasets_app.blob",
                    ),
                ),
                (
                    "directory",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="damages",
                        to="datasets_app.directory",
                    ),
                ),
            ],
            options={
                "ordering": ("-found_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="DamagedPath",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("path", datasets_app.models.fields.TreePathField(blank=True, max_length=4096)),
                (
                    "damage",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="paths",
                        to="datasets_app.damage",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="damaged_paths",
                        to="datasets_app.version",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RemovedObject",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("pack", "Pack"),
                            ("blob", "Blob"),
                            ("manifest", "Manifest"),
                            ("slices", "Slices"),
                            ("unknown", "Unknown"),
                            ("partial", "Partial"),
                            ("staging", "Staging"),
                            ("upload", "Upload"),
                            ("version", "Version"),
                            ("dataset", "Dataset"),
                            ("tree", "Tree"),
                        ],
                        max_length=10,
                    ),
                ),
                ("key", models.CharField(max_length=300)),
                ("size", models.PositiveBigIntegerField(default=0)),
                ("reason", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("removed_at", models.DateTimeField(editable=False, null=True)),
                (
                    "run",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="removed",
                        to="datasets_app.collectionrun",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="Verification",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("lease_token", models.UUIDField(editable=False, null=True)),
                ("lease_until", models.DateTimeField(editable=False, null=True)),
                ("attempts", models.PositiveIntegerField(default=0, editable=False)),
                ("scope", models.CharField(default="all", max_length=40)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                (
                    "phase",
                    models.CharField(
                        choices=[("packs", "Packs"), ("trees", "Trees"), ("manifests", "Manifests")],
                        default="packs",
                        max_length=10,
                    ),
                ),
                ("cursor", models.BigIntegerField(default=0)),
                ("total_size", models.PositiveBigIntegerField(default=0)),
                ("read_size", models.PositiveBigIntegerField(default=0)),
                ("pack_count", models.PositiveBigIntegerField(default=0)),
                ("blob_count", models.PositiveBigIntegerField(default=0)),
                ("directory_count", models.PositiveBigIntegerField(default=0)),
                ("damaged_count", models.PositiveBigIntegerField(default=0)),
                ("healed_count", models.PositiveBigIntegerField(default=0)),
                ("error", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("started_at", models.DateTimeField(editable=False, null=True)),
                ("finished_at", models.DateTimeField(editable=False, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "dataset",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="verifications",
                        to="datasets_app.dataset",
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at", "-id"),
            },
        ),
        migrations.AddField(
            model_name="damage",
            name="run",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="damages",
                to="datasets_app.verification",
            ),
        ),
        migrations.AddIndex(
            model_name="collectionrun",
            index=models.Index(fields=["-created_at"], name="collection_newest"),
        ),
        migrations.AddConstraint(
            model_name="collectionrun",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["waiting", "running", "finished", "failed"])),
                name="collection_status",
            ),
        ),
        migrations.AddConstraint(
            model_name="collectionrun",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["waiting", "running"])),
                fields=("is_dry_run",),
                name="collection_one_active",
            ),
        ),
        migrations.AddIndex(
            model_name="damagedpath",
            index=models.Index(fields=["damage", "version"], name="damaged_path_damage"),
        ),
        migrations.AddIndex(
            model_name="removedobject",
            index=models.Index(condition=models.Q(("removed_at", None)), fields=["id"], name="removed_unfinished"),
        ),
        migrations.AddIndex(
            model_name="removedobject",
            index=models.Index(fields=["created_at"], name="removed_when"),
        ),
        migrations.AddIndex(
            model_name="verification",
            index=models.Index(fields=["scope", "-created_at"], name="verification_newest"),
        ),
        migrations.AddConstraint(
            model_name="verification",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["waiting", "running", "finished", "failed"])),
                name="verification_status",
            ),
        ),
        migrations.AddConstraint(
            model_name="verification",
            constraint=models.CheckConstraint(
                condition=models.Q(("phase__in", ["packs", "trees", "manifests"])), name="verification_phase"
            ),
        ),
        migrations.AddConstraint(
            model_name="verification",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["waiting", "running"])),
                fields=("scope",),
                name="verification_one_active",
            ),
        ),
        migrations.AddConstraint(
            model_name="damage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("blob__isnull", False), ("directory", None)),
                    models.Q(("blob", None), ("directory__isnull", False)),
                    _connector="OR",
                ),
                name="damage_of_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="damage",
            constraint=models.UniqueConstraint(
                condition=models.Q(("healed_at", None)), fields=("blob",), name="damage_once_blob"
            ),
        ),
        migrations.AddConstraint(
            model_name="damage",
            constraint=models.UniqueConstraint(
                condition=models.Q(("healed_at", None)), fields=("directory",), name="damage_once_directory"
            ),
        ),
        migrations.RunPython(sort_as_bytes, migrations.RunPython.noop),
    ]
