"""When an open version was last worked on, and when a retention rule was last applied."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.utils import timezone


def spare_open_versions(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Count open versions as touched now: nobody knows when it was, and the idle ones are abandoned."""
    versions = apps.get_model("datasets_app", "Version").objects.using(schema_editor.connection.alias)
    versions.filter(status__in=["uploading", "syncing", "error"]).update(touched_at=timezone.now())


class Migration(migrations.Migration):
    dependencies = [("datasets_app", "0008_one_index_less")]

    operations = [
        # Nullable, so that SQLite adds them in place, and the triggers of the tables stay.
        migrations.AddField("version", "touched_at", models.DateTimeField(null=True, editable=False)),
        migrations.AddField("retentionrule", "applied_at", models.DateTimeField(null=True, editable=False)),
        migrations.RunPython(spare_open_versions, migrations.RunPython.noop),
    ]
