"""The Celery application; `celery -A flexai_site.celery worker --beat` runs it."""

import logging
import os
import signal
import warnings
from importlib import import_module
from typing import Any

from celery import Celery, signals
from celery.backends.base import DisabledBackend
from celery.worker.components import Beat
from celery.worker.consumer import Consumer
from kombu.transport import TRANSPORT_ALIASES

from flexai_site.heap import freeze_heap
from flexai_site.lifeline import end_with_parent
from flexai_site.logs import request_id

logger = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flexai_site.settings")

# Celery warns at each start as root; docs/operations.md speaks of the user to run as.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
# `filesystem://` means our version of that transport.
TRANSPORT_ALIASES["filesystem"] = "flexai_site.disk_broker:Transport"


class NoResults(DisabledBackend):
    """Nobody reads results: the rows hold the state.

    One for all threads. Celery would make one for each, and look for it through all installed packages every time.
    """

    thread_safe = True


app = Celery("flexai", backend="flexai_site.celery:NoResults")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["datasets_app"])


@signals.setup_logging.connect
def keep_logs(**_kwargs: Any) -> None:
    """Keep Celery from setting up handlers of its own, which it does where nobody listens: Django has set up ours."""


@signals.worker_init.connect
def end_with_the_server(**_kwargs: Any) -> None:
    """Stop when `manage.py serve`, which started this worker, is gone."""
    if "SERVE_PID" in os.environ:
        # SIGQUIT, since SIGTERM would wait for jobs that run for hours. Their rows tell what became of them.
        end_with_parent(signal.SIGQUIT, parent=int(os.environ["SERVE_PID"]))


@signals.worker_init.connect
def load_sources(**_kwargs: Any) -> None:
    """Load botocore and obstore once, before the pool is forked, instead of half a second in each process.

    Neither starts a thread until it is used.
    """
    # Obstore's own threads (Tokio's): one takes what the network brings as fast as ours hash it, and several wake each
    # other up for it. 20,000 objects: half a second of processor time less.
    os.environ.setdefault("TOKIO_WORKER_THREADS", "1")
    import_module("datasets_app.sources.s3")
    import_module("datasets_app.sources.s3_clients").load_models()


@signals.worker_ready.connect
def keep_the_clock(sender: Consumer, **_kwargs: Any) -> None:
    """Start the clock (beat) again when its process is killed: without it nothing would be taken up any more."""
    worker = sender.controller  # type: ignore[attr-defined]  # missing in its stub

    def look() -> None:
        if worker.beat is None or worker.beat.is_alive():
            return
        logger.warning("The clock ended with %s and is started again.", worker.beat.exitcode)
        (step,) = (step for step in worker.steps if isinstance(step, Beat))
        # The step is who stops it at the end.
        step.obj = step.create(worker)
        step.obj.start()

    sender.timer.call_repeatedly(5, look)


@signals.beat_embedded_init.connect
def end_clock_with_the_worker(**_kwargs: Any) -> None:
    """End the clock when the worker's main process is killed: the next worker has one of its own."""
    end_with_parent(signal.SIGKILL)


@signals.worker_process_init.connect
def end_with_the_worker(**_kwargs: Any) -> None:
    """End a pool process when the worker's main process is killed, in the midst of a task too."""
    end_with_parent(signal.SIGKILL)
    # What is there now stays, and need not be walked by each full collection amid a task.
    freeze_heap()


@signals.before_task_publish.connect
def send_request_id(headers: dict[str, Any] | None = None, **_kwargs: Any) -> None:
    """Let the log lines of a task carry the id of the request that asked for it."""
    if headers is not None and request_id.get():
        headers["request_id"] = request_id.get()


@signals.task_prerun.connect
def take_request_id(task: object = None, task_id: str = "", **_kwargs: Any) -> None:
    """Name what a task logs by its request, or by the task itself when beat sent it."""
    request_id.set(getattr(getattr(task, "request", None), "request_id", None) or f"task-{task_id[:8]}")
