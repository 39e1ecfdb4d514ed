"""Log records: a JSON object a line for machines, short lines for a person at a terminal; each with its request id."""

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from typing_extensions import override

# The id of the HTTP request (or task) at work in this thread; empty outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="")

# What every record has; anything else was given by the caller as `extra` and belongs into the output.
_STANDARD: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "request_id", "request", "taskName"}

_INVITATION: Final = re.compile(r"/invitations/[\w-]{20,}")


class RequestIdFilter(logging.Filter):
    """Put the current request id on every record."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class RoutineFilter(logging.Filter):
    """Leave out that the reaper ran and was well, several times a minute."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        data = getattr(record, "data", None)
        routine = isinstance(data, dict) and str(data.get("name", "")).startswith("datasets_app.reap")
        return record.levelno > logging.INFO or not routine


class InvitationFilter(logging.Filter):
    """Keep the secrets of invitation links, which are part of their path, out of the log."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if "/invitations/" in (text := record.getMessage()):
            record.msg, record.args = _INVITATION.sub("/invitations/…", text), ()
        return True


def _details(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, request_id, the `extra` fields, exception."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", ""),
            "process": record.process,
            **_details(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`12:34:56 warning celery.worker: message key=value [request id]`."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        details = "".join(f" {key}={value}" for key, value in _details(record).items())
        current = getattr(record, "request_id", "")
        line = f"{time} {record.levelname.lower():7} {record.name}: {record.getMessage()}{details}"
        line += f" [{current}]" if current else ""
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def logging_configuration(*, level: str, style: str) -> dict[str, Any]:
    """Return the value for Django's LOGGING; the style `auto` is text on a terminal and JSON elsewhere."""
    if style == "auto":
        style = "text" if sys.stderr.isatty() else "json"
    formatter = TextFormatter if style == "text" else JsonFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request_id": {"()": RequestIdFilter},
            "routine": {"()": RoutineFilter},
            "invitations": {"()": InvitationFilter},
        },
        "formatters": {"lines": {"()": formatter}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "lines",
                "filters": ["request_id", "routine", "invitations"],
            },
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django attaches handlers of its own; ours at the root see everything.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # Statements and template look-ups are noise even when our own DEBUG records are wanted.
            "django.db.backends": {"level": "INFO"},
            "django.template": {"level": "INFO"},
            "celery.beat": {"level": "WARNING"},
            # It warns that the broker on disk has no host name.
            "kombu.connection": {"level": "ERROR"},
            "botocore": {"level": "WARNING"},
            "urllib3": {"level": "WARNING"},
        },
    }
