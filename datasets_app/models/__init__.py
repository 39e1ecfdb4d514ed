"""State: rows, constraints and querysets."""

from datasets_app.models.audit import AuditEvent
from datasets_app.models.blob import Blob, Pack, TeamBlob
from datasets_app.models.dataset import Dataset, DatasetTag, Version
from datasets_app.models.door import Door
from datasets_app.models.job import Job, JobDataset
from datasets_app.models.team import NAME_PATTERN, NAME_RULE, Invitation, Membership, Role, Team, User
from datasets_app.models.token import ApiToken
from datasets_app.models.tree import Directory, File, Subdirectory
from datasets_app.models.upload import StagedFile, StagedRemoval, Upload

__all__ = [
    "NAME_PATTERN",
    "NAME_RULE",
    "ApiToken",
    "AuditEvent",
    "Blob",
    "Dataset",
    "DatasetTag",
    "Directory",
    "Door",
    "File",
    "Invitation",
    "Job",
    "JobDataset",
    "Membership",
    "Pack",
    "Role",
    "StagedFile",
    "StagedRemoval",
    "Subdirectory",
    "Team",
    "TeamBlob",
    "Upload",
    "User",
    "Version",
]
