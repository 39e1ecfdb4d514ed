"""Every setting of the server, from the environment alone. docs/operations.md explains each one."""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django_stubs_ext
from csp.constants import NONE, SELF, WASM_UNSAFE_EVAL

from flexai_site.environment import (
    Environment,
    SettingError,
    file_storage,
    lasting_secret,
    make_folder,
    new_encryption_key,
)
from flexai_site.logs import logging_configuration

# Lets classes name their type parameters at run time: `ModelAdmin[Dataset]`.
django_stubs_ext.monkeypatch()

env = Environment(os.environ)
BASE_DIR = Path(__file__).resolve().parent.parent
MIB = 2**20

# --- Where things are kept
DATA_DIR = make_folder(env.path("DATA_DIR", BASE_DIR / "data"), "DATA_DIR")
STAGING_DIR = DATA_DIR / "staging"
JOBS_DIR = DATA_DIR / "jobs"
MOUNTS_DIR = DATA_DIR / "mounts"
PREVIEWS_DIR = DATA_DIR / "previews"
SLOTS_DIR = DATA_DIR / "slots"
STATIC_ROOT = env.path("STATIC_ROOT", BASE_DIR / "staticfiles")
# SQLite spills large sorts into a folder; without this it would be one outside of DATA_DIR.
os.environ.setdefault("SQLITE_TMPDIR", str(DATA_DIR))

# --- How the server is reached
DEBUG = env.switch("DEBUG", default=False)
SECRET_KEY = env.text("SECRET_KEY", pattern=r".{32,}", expected="at least 32 characters") or lasting_secret(
    DATA_DIR / "secret_key"
)
HOST = env.text("HOST", "127.0.0.1", pattern=r"[A-Za-z0-9.:_-]+", expected="an address or a host name")
PORT = env.number("PORT", 8000, least=1, most=65535)
PUBLIC_URL = env.origin("PUBLIC_URL")
TRUST_PROXY = env.switch("TRUST_PROXY", default=False)
URL_PREFIX = env.text(
    "URL_PREFIX",
    urlsplit(PUBLIC_URL).path,
    pattern=r"/|(/[A-Za-z0-9._~-]+)+/?",
    expected="a path such as /datasets",
).rstrip("/")
_EVERYWHERE = HOST in {"0.0.0.0", "::"}  # noqa: S104
ALLOWED_HOSTS = env.names(
    "ALLOWED_HOSTS",
    ["*"]
    if _EVERYWHERE and not PUBLIC_URL
    else ["localhost", "127.0.0.1", "[::1]", HOST, urlsplit(PUBLIC_URL).hostname or "localhost"],
)
WEB_PROCESSES = env.number("WEB_PROCESSES", 2, least=1, most=256)
# A slow client holds a thread for as long as its body travels.
WEB_THREADS = env.number("WEB_THREADS", 64, least=1, most=1024)

FORCE_SCRIPT_NAME = URL_PREFIX or None
STATIC_URL = f"{URL_PREFIX}/static/"
USE_X_FORWARDED_HOST = TRUST_PROXY
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUST_PROXY else None
_PUBLIC_ORIGIN = "{0.scheme}://{0.netloc}".format(urlsplit(PUBLIC_URL)) if PUBLIC_URL else ""
CSRF_TRUSTED_ORIGINS = [_PUBLIC_ORIGIN] if PUBLIC_URL else []
# Users' files are sent to browsers from there, by addresses that are good for so many seconds.
RAW_ORIGIN = env.origin("RAW_ORIGIN")
if RAW_ORIGIN:
    if urlsplit(RAW_ORIGIN).path or urlsplit(RAW_ORIGIN).netloc == urlsplit(PUBLIC_URL).netloc:
        raise SettingError(
            "RAW_ORIGIN must be another origin than PUBLIC_URL, without a path, such as https://bytes.example.net"
        )
    ALLOWED_HOSTS = [*ALLOWED_HOSTS, urlsplit(RAW_ORIGIN).hostname or ""]
RAW_SECONDS = env.number("RAW_SECONDS", 900, least=1, most=86_400)
_RAW_SOURCES = [RAW_ORIGIN] if RAW_ORIGIN else []
_HTTPS = PUBLIC_URL.startswith("https://")
# Cookies are shared between ports of one host, so their names must not be anybody's.
SESSION_COOKIE_NAME = "flexai_session"
CSRF_COOKIE_NAME = "flexai_csrf"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{URL_PREFIX}/"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = env.number("SESSION_HOURS", 14 * 24, least=1) * 3600
SECURE_HSTS_SECONDS = 3600 * 24 * 365 if _HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        # hash-wasm compiles its SHA-256; nothing else may be evaluated.
        "script-src": [SELF, WASM_UNSAFE_EVAL],
        "style-src": [SELF],
        "img-src": [SELF, "blob:", "data:", *_RAW_SOURCES],
        "media-src": [SELF, "blob:", *_RAW_SOURCES],
        "worker-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
# A plan of 1,000 paths of 4,096 bytes, escaped, is the largest body that is read at once; uploads are streamed.
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * MIB

# --- The application
INSTALLED_APPS = [
    "datasets_app",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "ninja",
    "template_partials",
]
MIDDLEWARE = [
    "flexai_site.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    # Before everything that knows users or pages.
    "datasets_app.api.raw.RawOriginMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "flexai_site.middleware.PageCompressionMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    # These two meet a view's errors first: problems for programs, then pages for people.
    "datasets_app.views.errors.ErrorPagesMiddleware",
    "datasets_app.api.middleware.ApiMiddleware",
    "flexai_site.middleware.RefuseNulMiddleware",
]
CSRF_FAILURE_VIEW = "datasets_app.views.errors.csrf_failure"
ROOT_URLCONF = "flexai_site.urls"
WSGI_APPLICATION = "flexai_site.wsgi.application"
AUTH_USER_MODEL = "datasets_app.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign_in"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
USE_TZ = True
USE_I18N = False
TIME_ZONE = "UTC"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "datasets_app.views.frame.page_frame",
            ],
        },
    }
]

# --- Database
DATABASES = {
    "default": env.database("DATABASE_URL", {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "db.sqlite3"})
}
DATABASES["default"] |= {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"] |= {
        "ENGINE": "flexai_site.sqlite",
        "OPTIONS": {
            # Take the write lock at BEGIN: a transaction that reads first and writes later can't wait for it.
            "transaction_mode": "IMMEDIATE",
            # Seconds to wait for another writer before "database is locked".
            "timeout": 30,
            # FULL: a commit that was answered must outlive a power cut, like the bytes that it speaks of. It costs one
            # fsync for each transaction that writes; writes are batched, so there are few.
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-8192;"
                "PRAGMA mmap_size=134217728; PRAGMA journal_size_limit=67108864;"
                # Without it, REPLACE would delete sealed rows past the triggers that guard them.
                "PRAGMA recursive_triggers=ON"
            ),
        },
        # A file, because tests with threads and child processes need the locks of a real one.
        "TEST": {"NAME": DATA_DIR / "test.sqlite3"},
    }

# --- Stored objects and static files
STORAGES: dict[str, dict[str, Any]] = {
    "default": file_storage(DATA_DIR / "files"),
    "packs": env.storage("PACKS_URL", file_storage(DATA_DIR / "packs")),
    "staticfiles": {"BACKEND": "flexai_site.static_files.StaticStorage"},
}
_PACKS_BACKEND = env.text("PACKS_BACKEND", pattern=r"\w+(\.\w+)+", expected="the dotted path of a Django storage class")
_PACKS_OPTIONS = env.options("PACKS_OPTIONS")
if _PACKS_BACKEND:
    STORAGES["packs"] = {"BACKEND": _PACKS_BACKEND, "OPTIONS": _PACKS_OPTIONS}
# The plain names would be cached beyond the next release, and double the time of compressing.
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
STATICFILES_FINDERS = [
    "flexai_site.static_files.SourceFinder",
    "flexai_site.static_files.AppFinder",
]
STATICFILES_DIRS: list[Any] = [
    path if prefix is None else (prefix, path)
    for prefix, path in (
        (None, BASE_DIR / "static"),
        ("vendor/tus-js-client", BASE_DIR / "node_modules" / "tus-js-client" / "dist"),
        ("vendor/hash-wasm", BASE_DIR / "node_modules" / "hash-wasm" / "dist"),
    )
    if path.is_dir()
]

# --- The API
# Of one token, in each web process; 0: no limit.
API_REQUESTS_PER_MINUTE = env.number("API_REQUESTS_PER_MINUTE", 30_000, least=0)

# --- Uploads and the content store; sizes in bytes
UPLOAD_MAX_BYTES = env.size("UPLOAD_MAX_BYTES", 2**40)
UPLOAD_REQUEST_BYTES = env.size("UPLOAD_REQUEST_BYTES", 16 * MIB, least=64 * 1024)
UPLOAD_EXPIRY_HOURS = env.number("UPLOAD_EXPIRY_HOURS", 168, least=1)
PACK_BYTES = env.size("PACK_BYTES", 16 * MIB, least=MIB)
LARGE_FILE_BYTES = env.size("LARGE_FILE_BYTES", 8 * MIB, least=1)
# Up to here the last request waits until the bytes are verified and stored; larger uploads are finished by a worker
# where that would mean to read all of them again or to send them to another machine.
FINISHED_IN_REQUEST_BYTES = env.size("FINISHED_IN_REQUEST_BYTES", 64 * MIB, least=1)
# Versions of at most so many files, those of the base counted, are sealed by the request; larger ones by a worker.
SEALED_IN_REQUEST_FILES = env.number("SEALED_IN_REQUEST_FILES", 10_000, least=0)
# What the versions laid out for jobs may keep on disk once no job uses them.
MOUNTS_CACHE_BYTES = env.size("MOUNTS_CACHE_BYTES", 64 * 2**30, least=0)
DISK_RESERVE_BYTES = env.size("DISK_RESERVE_BYTES", 2**30, least=0)

# --- Previews: each runs in a process of its own, with these limits
PREVIEW_PROCESSES = env.number("PREVIEW_PROCESSES", 4, least=1, most=256)
PREVIEW_SECONDS = env.number("PREVIEW_SECONDS", 20, least=1, most=600)
PREVIEW_MEMORY_BYTES = env.size("PREVIEW_MEMORY_BYTES", 512 * MIB, least=128 * MIB)
# How many files of a version are looked into for its summary; of more, so many that are spread evenly.
SUMMARY_FILES = env.number("SUMMARY_FILES", 100_000, least=1)
PREVIEWS_CACHE_BYTES = env.size("PREVIEWS_CACHE_BYTES", 4 * 2**30, least=0)

# --- Remote stores
# Fernet keys: the first encrypts the credentials of connections, all of them decrypt.
CREDENTIALS_KEYS = env.encryption_keys("CREDENTIALS_KEYS") or [
    lasting_secret(DATA_DIR / "credentials_key", new_encryption_key)
]
# Networks that users' connections may reach although they are loopback, private or link-local.
ALLOWED_SOURCE_NETWORKS = env.networks("ALLOWED_SOURCE_NETWORKS")
# A proxy of the operator's, which then decides in place of the built-in guard what may be reached.
EGRESS_PROXY = env.text(
    "EGRESS_PROXY", pattern=r"http://[^\s/?#]+/?", expected="a URL such as http://proxy.example.org:3128"
)
# Whether a connection to S3 may act as this machine (instance profile, web identity, environment).
ALLOW_MACHINE_ROLE = env.switch("ALLOW_MACHINE_ROLE", default=False)

# --- Trash and garbage collection. What is unused is removed a grace period after it was last used.
TRASH_DAYS = env.decimal("TRASH_DAYS", 14, least=0, most=36_500)
GRACE_HOURS = env.decimal("GRACE_HOURS", 24, least=0, most=24 * 365)
COLLECT_HOURS = env.decimal("COLLECT_HOURS", 1, least=0, most=24 * 365)
# An unsealed version that nobody touches for so long is abandoned; 0: never.
UNSEALED_DAYS = env.decimal("UNSEALED_DAYS", 30, least=0, most=36_500)
# Packs of which less is still needed are rewritten, up to so many bytes in one collection; 0: never.
COMPACT_BELOW_PERCENT = env.number("COMPACT_BELOW_PERCENT", 50, least=0, most=100)
COMPACT_BYTES = env.size("COMPACT_BYTES", 8 * 2**30, least=0)
# The journal of what was removed, and the reports of old runs.
JOURNAL_DAYS = env.decimal("JOURNAL_DAYS", 180, least=1, most=36_500)

# --- Verification of what is stored: how often all of it (0: on demand only), and bytes a second.
VERIFY_DAYS = env.decimal("VERIFY_DAYS", 30, least=0, most=36_500)
VERIFY_BYTES_PER_SECOND = env.size("VERIFY_BYTES_PER_SECOND", 20 * MIB, least=1024)

# --- Worker
WORKER_CONCURRENCY = env.number("WORKER_CONCURRENCY", 6, least=2, most=256)
# A job keeps its worker process for as long as it runs; one must stay free for seals and the reaper.
JOB_SLOTS = env.number("JOB_SLOTS", min(2, WORKER_CONCURRENCY - 1), least=1, most=WORKER_CONCURRENCY - 1)
# An import gives its process back every few seconds, so that seals have their turn even where no process is left over.
IMPORT_SLOTS = env.number(
    "IMPORT_SLOTS", min(2, max(1, WORKER_CONCURRENCY - JOB_SLOTS - 1)), least=1, most=WORKER_CONCURRENCY - 1
)
# Of one team at a time; the others wait for their turn.
IMPORTS_PER_TEAM = env.number("IMPORTS_PER_TEAM", 2, least=1)
# Requests at a time of one import in one process.
IMPORT_THREADS = env.number("IMPORT_THREADS", 16, least=1, most=128)
IMPORT_MAX_FILES = env.number("IMPORT_MAX_FILES", 10_000_000, least=1)
# The Python that jobs find first, more folders that they may read (CUDA under /opt), and devices (/dev/nvidia0).
JOB_PYTHON = env.path("JOB_PYTHON", Path(sys.executable))
JOB_HOST_PATHS = [Path(name) for name in env.names("JOB_HOST_PATHS", [])]
JOB_DEVICES = [Path(name) for name in env.names("JOB_DEVICES", [])]
# The rest of a longer log is left out, but for its end. 0: outputs are bounded by the disk alone.
JOB_LOG_BYTES = env.size("JOB_LOG_BYTES", 64 * MIB, least=1024)
JOB_OUTPUT_BYTES = env.size("JOB_OUTPUT_BYTES", 0, least=0)
LEASE_SECONDS = env.number("LEASE_SECONDS", 60, least=5)
REAP_SECONDS = env.number("REAP_SECONDS", 15, least=1)
BROKER_DIR = DATA_DIR / "broker"
CELERY_BROKER_URL = env.text(
    "BROKER_URL",
    "filesystem://",
    pattern=r"filesystem://|(redis|rediss|amqp|amqps)://\S+",
    expected="a URL such as redis://host:6379/0 or amqp://user:password@host//",
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Seconds; a request that wakes a worker must not wait long for a broker that is down, since the reaper finds the row.
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2}
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {}
if CELERY_BROKER_URL == "filesystem://":
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(BROKER_DIR / "queue"),
        "data_folder_out": str(BROKER_DIR / "queue"),
        "control_folder": str(BROKER_DIR / "control"),
        # Seconds between two looks into the folder where nothing wakes the worker.
        "polling_interval": 0.2,
    }
    for _folder in ("queue", "control"):
        make_folder(BROKER_DIR / _folder, "DATA_DIR")
elif CELERY_BROKER_URL.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 10}
# Nobody reads results: the rows hold the state.
CELERY_TASK_IGNORE_RESULT = True
# Acknowledge before the task runs. A lost worker's task comes back through its row's lease, not through the broker,
# which would deliver a long task a second time while it still runs (Redis), or never (filesystem).
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = WORKER_CONCURRENCY
# Seconds until a process of the worker that hasn't come up is taken for dead; on a busy machine that takes a while.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 60
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
# In memory: a file of it may be damaged when beat is killed. So nothing here may wait for long: rows tell what is due.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
# Work that is due regularly; "expires" drops what piled up while no worker ran.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "reap": {"task": "datasets_app.reap", "schedule": REAP_SECONDS, "options": {"expires": REAP_SECONDS}},
    "reap_imports": {
        "task": "datasets_app.reap_imports",
        "schedule": REAP_SECONDS,
        "options": {"expires": REAP_SECONDS},
    },
    "reap_jobs": {"task": "datasets_app.reap_jobs", "schedule": REAP_SECONDS, "options": {"expires": REAP_SECONDS}},
    "trim_previews": {"task": "datasets_app.trim_previews", "schedule": 3600, "options": {"expires": 3600}},
    "trim_mounts": {"task": "datasets_app.trim_mounts", "schedule": 600, "options": {"expires": 600}},
    "sample_space": {"task": "datasets_app.sample_space", "schedule": 3600, "options": {"expires": 3600}},
    "apply_retention": {"task": "datasets_app.apply_retention", "schedule": 3600, "options": {"expires": 3600}},
    "maintain": {"task": "datasets_app.maintain", "schedule": min(60, max(1, (COLLECT_HOURS or 1) * 3600))},
}

# --- Logs
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR"])
LOG_FORMAT = env.choice("LOG_FORMAT", "auto", ["auto", "json", "text"])
LOGGING = logging_configuration(level=LOG_LEVEL, style=LOG_FORMAT)

env.refuse_unknown()
