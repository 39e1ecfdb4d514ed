"""Celery tasks: each loads a row and calls one service. All of them may run twice and may die anywhere."""

from __future__ import annotations

import logging
from uuid import UUID

from celery import shared_task

from datasets_app.errors import AppError
from datasets_app.services import (
    finishing,
    folders,
    garbage,
    importing,
    integrity,
    mounts,
    overlaps,
    preview_cache,
    retention,
    running,
    space,
    summaries,
    versions,
)

logger = logging.getLogger(__name__)


@shared_task(name="datasets_app.seal_version")
def seal_version(*, version_id: int) -> None:
    """Build the tree of a pending version."""
    versions.run_seal(version_id)


@shared_task(name="datasets_app.finish_upload")
def finish_upload(*, upload_id: str) -> None:
    """Verify and store an upload whose bytes have all arrived."""
    try:
        finishing.run_finish(UUID(upload_id))
    except AppError as error:
        logger.info("upload %s failed: %s", upload_id, error.detail)


@shared_task(name="datasets_app.reap")
def reap() -> None:
    """Take up what lost its worker or was never started, and end what expired."""
    versions.wake_pending()
    versions.clear_leftovers()
    finishing.wake_received()
    garbage.end_expired()
    summaries.wake_summaries()


@shared_task(name="datasets_app.maintain")
def maintain() -> None:
    """Start the collection and the verification that are due, and take up what lost its worker."""
    garbage.wake_collections()
    integrity.wake_verifications()


@shared_task(name="datasets_app.verify")
def verify(*, run_id: int) -> None:
    """Read stored bytes again, for a while."""
    integrity.run_verification(run_id)


@shared_task(name="datasets_app.collect_garbage")
def collect_garbage(*, run_id: int) -> None:
    """Remove what nothing needs any more."""
    garbage.run_collection(run_id)


@shared_task(name="datasets_app.run_jobs")
def run_jobs() -> None:
    """Run the oldest pending job, if this machine has a free slot."""
    running.run_jobs()


@shared_task(name="datasets_app.reap_jobs")
def reap_jobs() -> None:
    """Fail jobs whose worker died, and wake a worker for those that wait."""
    running.reap_jobs()


@shared_task(name="datasets_app.run_imports")
def run_imports() -> None:
    """List or copy for a while, for the import that has waited longest for a turn."""
    importing.run_imports()


@shared_task(name="datasets_app.reap_imports")
def reap_imports() -> None:
    """Start imports whose turn it is, and wake workers for those that nobody works at."""
    importing.reap_imports()


@shared_task(name="datasets_app.trim_mounts")
def trim_mounts() -> None:
    """Remove folders of versions that no job needs, down to what may be kept."""
    mounts.trim_mounts()


@shared_task(name="datasets_app.trim_previews")
def trim_previews() -> None:
    """Remove previews that nobody looked at for longest, down to what may be kept."""
    preview_cache.trim()
    summaries.forget_summaries()


@shared_task(name="datasets_app.count_folder")
def count_folder(*, directory_id: int) -> None:
    """Count the files of a large folder by their endings, for its page."""
    folders.count_folder(directory_id)


@shared_task(name="datasets_app.compare_blobs")
def compare_blobs(*, first_root: int, second_root: int) -> None:
    """Find the files that two large versions share, for the pages that ask for them."""
    overlaps.compare_blobs(first_root, second_root)


@shared_task(name="datasets_app.measure_versions")
def measure_versions() -> None:
    """Count what newly sealed versions store."""
    space.measure_versions()


@shared_task(name="datasets_app.sample_space")
def sample_space() -> None:
    """Note what teams and datasets store today."""
    space.sample_space()


@shared_task(name="datasets_app.apply_retention")
def apply_retention() -> None:
    """Move to the trash what the retention rules say."""
    retention.apply_rules()


@shared_task(name="datasets_app.summarize")
def summarize() -> None:
    """Look for a while at the files of a version that was sealed."""
    summaries.run_summaries()
