"""Wake a worker. The queue may lose or repeat a message: the rows, their leases and the reaper carry the work."""

import logging
from functools import partial
from importlib import import_module
from typing import Any

from celery import Task, current_app
from django.db import transaction

logger = logging.getLogger(__name__)


def enqueue(task_name: str, **kwargs: Any) -> None:
    """Send the task once the current transaction has committed; at once when there is none.

    An unknown name raises `LookupError` here, not in the worker. A broker that can't be reached is logged and forgiven:
    the reaper finds the row that this task is about.
    """
    transaction.on_commit(partial(_send, _find_task(task_name), kwargs))


def _find_task(task_name: str) -> "Task[..., Any]":
    # By its name: tasks call services, and services call this file.
    import_module("datasets_app.tasks")
    try:
        return current_app.tasks[task_name]
    except KeyError as error:
        message = f"There is no task named {task_name}."
        raise LookupError(message) from error


def _send(task: "Task[..., Any]", kwargs: dict[str, Any]) -> None:
    try:
        task.apply_async(kwargs=kwargs)
    except Exception:  # every transport raises errors of its own
        logger.exception("The broker did not take a task", extra={"task": task.name, "arguments": kwargs})
