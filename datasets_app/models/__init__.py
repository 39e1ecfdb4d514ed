"""State: rows, constraints and querysets."""

from datasets_app.models.audit import AuditEvent
from datasets_app.models.blob import Blob, Pack, TeamBlob
from datasets_app.models.connection import Connection, RememberedObject
from datasets_app.models.dataset import Dataset, DatasetTag, Version
from datasets_app.models.door import Door
from datasets_app.models.garbage import (
    CollectionRun,
    RemovedObject,
    RetiredPack,
    StorageSample,
    UnreferencedBlob,
    UnreferencedDirectory,
)
from datasets_app.models.imports import Import, ImportPart, ImportProblem
from datasets_app.models.integrity import Damage, DamagedPath, Verification
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
    "CollectionRun",
    "Connection",
    "Damage",
    "DamagedPath",
    "Dataset",
    "DatasetTag",
    "Directory",
    "Door",
    "File",
    "Import",
    "ImportPart",
    "ImportProblem",
    "Invitation",
    "Job",
    "JobDataset",
    "Membership",
    "Pack",
    "RememberedObject",
    "RemovedObject",
    "RetiredPack",
    "Role",
    "StagedFile",
    "StagedRemoval",
    "StorageSample",
    "Subdirectory",
    "Team",
    "TeamBlob",
    "UnreferencedBlob",
    "UnreferencedDirectory",
    "Upload",
    "User",
    "Verification",
    "Version",
]
