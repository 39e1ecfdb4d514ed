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
from datasets_app.models.idempotency import IdempotencyKey
from datasets_app.models.imports import Import, ImportPart, ImportProblem
from datasets_app.models.integrity import Damage, DamagedPath, Verification
from datasets_app.models.job import Job, JobDataset
from datasets_app.models.label import LABEL_PATTERN, LABEL_RULE, LATEST, Label
from datasets_app.models.lineage import Lineage
from datasets_app.models.retention import RetentionRule
from datasets_app.models.space import SpaceSample, VersionSpace
from datasets_app.models.summary import Summary
from datasets_app.models.team import NAME_PATTERN, NAME_RULE, Invitation, Membership, Role, Team, User
from datasets_app.models.token import ApiToken
from datasets_app.models.tree import Directory, File, NameList, Subdirectory
from datasets_app.models.upload import StagedFile, StagedMove, StagedRemoval, Upload

__all__ = [
    "LABEL_PATTERN",
    "LABEL_RULE",
    "LATEST",
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
    "IdempotencyKey",
    "Import",
    "ImportPart",
    "ImportProblem",
    "Invitation",
    "Job",
    "JobDataset",
    "Label",
    "Lineage",
    "Membership",
    "NameList",
    "Pack",
    "RememberedObject",
    "RemovedObject",
    "RetentionRule",
    "RetiredPack",
    "Role",
    "SpaceSample",
    "StagedFile",
    "StagedMove",
    "StagedRemoval",
    "StorageSample",
    "Subdirectory",
    "Summary",
    "Team",
    "TeamBlob",
    "UnreferencedBlob",
    "UnreferencedDirectory",
    "Upload",
    "User",
    "Verification",
    "Version",
    "VersionSpace",
]
