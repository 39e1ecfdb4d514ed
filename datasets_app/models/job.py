"""Training and fine-tuning runs, and the versions that they pin."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.dataset import Version
from datasets_app.models.lease import Leased, LeasedQuerySet
from datasets_app.models.team import NAME_PATTERN, Team, User


class JobQuerySet(LeasedQuerySet["Job"]):
    """Jobs."""

    def visible_to(self, user: User) -> Self:
        """Keep the jobs of the user's teams."""
        return self.filter(team__in=Team.objects.visible_to(user))

    def active(self) -> Self:
        """Keep jobs that have not ended: the versions they pin cannot be deleted."""
        return self.filter(status__in=Job.ACTIVE)


class Job(Leased):
    """A run of one command that reads its datasets at `/input/<mount name>/`. Limits are bytes, seconds and counts."""

    class Kind(models.TextChoices):
        """What the run is for."""

        TRAINING = "training"
        FINE_TUNING = "fine-tuning"

    class Status(models.TextChoices):
        """Pending -> running -> succeeded or failed; stopping -> stopped when somebody ends it."""

        PENDING = "pending"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        STOPPING = "stopping"
        STOPPED = "stopped"

    ACTIVE = (Status.PENDING, Status.RUNNING, Status.STOPPING)
    FINAL = (Status.SUCCEEDED, Status.FAILED, Status.STOPPED)

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="jobs", db_index=False)
    name = models.CharField(max_length=63)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    command = models.JSONField()
    image = models.CharField(max_length=300, blank=True)
    env = models.JSONField(default=dict, blank=True)
    runner = models.CharField(max_length=20, default="local")
    allow_network = models.BooleanField(default=False)
    memory_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    cpu_seconds = models.PositiveBigIntegerField(null=True, blank=True)
    max_processes = models.PositiveIntegerField(null=True, blank=True)
    time_limit_seconds = models.PositiveBigIntegerField(null=True, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    exit_code = models.IntegerField(null=True)
    error = models.TextField(blank=True)
    runner_state = models.JSONField(default=dict, editable=False)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(name="job_name_once", fields=("team", "name")),
            models.CheckConstraint(name="job_name_rule", condition=Q(name__regex=NAME_PATTERN)),
            models.CheckConstraint(name="job_kind", condition=Q(kind__in=["training", "fine-tuning"])),
            models.CheckConstraint(
                name="job_status",
                condition=Q(status__in=["pending", "running", "succeeded", "failed", "stopping", "stopped"]),
            ),
        )
        indexes = (models.Index(name="job_status_lease", fields=("status", "lease_until")),)

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def duration(self) -> timedelta | None:
        """How long it has been running, or ran; None if it never began."""
        return (self.finished_at or timezone.now()) - self.started_at if self.started_at is not None else None

    @property
    def is_preparing(self) -> bool:
        """Whether a worker is laying out its datasets, before the command begins."""
        return self.status == self.Status.RUNNING and "pid" not in self.runner_state

    @property
    def is_active(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in self.ACTIVE


class JobDataset(models.Model):
    """One mounted version. Name, number and digest are copied, so that they outlive the dataset."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="datasets", db_index=False)
    version = models.ForeignKey(Version, null=True, on_delete=models.SET_NULL, related_name="jobs")
    dataset_name = models.CharField(max_length=63)
    version_number = models.PositiveIntegerField()
    digest = models.CharField(max_length=80)
    mount_name = models.CharField(max_length=63)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(name="job_mount_once", fields=("job", "mount_name")),
            models.CheckConstraint(name="job_mount_rule", condition=Q(mount_name__regex=NAME_PATTERN)),
        )

    def __str__(self) -> str:
        """Return where the job sees it."""
        return f"/input/{self.mount_name}"
