"""The Celery application; `celery -A flexai_site.celery worker --beat` runs it."""

import logging.config
import os
from pathlib import Path
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flexai_site.settings")

app = Celery("flexai")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["datasets_app"])


@signals.setup_logging.connect
def configure_logs(**_kwargs: Any) -> None:
    """Log as the web server does; a receiver here keeps Celery from setting up handlers of its own."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)


@signals.worker_init.connect
@signals.beat_init.connect
def make_broker_folders(**_kwargs: Any) -> None:
    """Make the folders of the broker on disk, which kombu expects to be there."""
    ensure_broker_folders()


def ensure_broker_folders() -> None:
    """Make the folders of the broker on disk; nothing with a broker that is a server."""
    options = app.conf.broker_transport_options
    for name in ("data_folder_in", "data_folder_out", "control_folder"):
        if name in options:
            Path(options[name]).mkdir(parents=True, exist_ok=True)
