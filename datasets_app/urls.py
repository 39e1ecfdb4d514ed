"""The URLs of pages, API and upload endpoint; one include for each room."""

from django.urls import URLPattern, URLResolver, include, path, register_converter

from datasets_app.api import api
from datasets_app.api.errors import no_such_address
from datasets_app.views import (
    account,
    changes,
    compare,
    compose,
    connections,
    datasets,
    file_compare,
    import_new,
    imports,
    integrity,
    job_new,
    jobs,
    labels,
    overlap,
    retention,
    space,
    storage,
    teams,
    trash,
    tree,
    uploads,
    versions,
)


class VersionName:
    """A version's number, or one of its labels; digits are a number."""

    regex = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"

    def to_python(self, value: str) -> int | str:
        """Give an int for digits."""
        return int(value) if value.isdecimal() else value

    def to_url(self, value: int | str) -> str:
        """Write either."""
        return str(value)


register_converter(VersionName, "version")

TEAM = "teams/<str:team>/"
DATASETS = "teams/<str:team>/datasets/"
DATASET = f"{DATASETS}<str:name>/"
VERSION = f"{DATASET}versions/<version:number>/"
CONNECTIONS = "teams/<str:team>/connections/"
CONNECTION = f"{CONNECTIONS}<str:name>/"
JOBS = "teams/<str:team>/jobs/"
JOB = f"{JOBS}<str:name>/"

account_pages = [
    path("", teams.home, name="home"),
    path("setup/", account.setup, name="setup"),
    path("sign-in/", account.sign_in, name="sign_in"),
    path("sign-out/", account.sign_out, name="sign_out"),
    path("account/", account.account, name="account"),
    path("account/password/", account.password_change, name="password_change"),
    path("account/tokens/", account.token_new, name="token_new"),
    path("account/tokens/<int:token_id>/revoke/", account.token_revoke, name="token_revoke"),
    path("invitations/<str:secret>/", teams.invitation, name="invitation"),
]
team_pages = [
    path("teams/new/", teams.team_new, name="team_new"),
    path(TEAM, teams.team_detail, name="team_detail"),
    path(f"{TEAM}space/", space.team_space, name="team_space"),
    path(f"{TEAM}switch/", teams.team_switch, name="team_switch"),
    path(f"{TEAM}leave/", teams.team_leave, name="team_leave"),
    path(f"{TEAM}members/role/", teams.member_role, name="member_role"),
    path(f"{TEAM}members/remove/", teams.member_remove, name="member_remove"),
    path(f"{TEAM}invitations/", teams.invitation_new, name="invitation_new"),
    path(f"{TEAM}invitations/<int:invitation_id>/revoke/", teams.invitation_revoke, name="invitation_revoke"),
]
dataset_pages = [
    path(f"{TEAM}compose/", compose.compose_new, name="compose_new"),
    path(DATASETS, datasets.dataset_list, name="dataset_list"),
    path(f"{DATASETS}new/", datasets.dataset_new, name="dataset_new"),
    path(DATASET, datasets.dataset_detail, name="dataset_detail"),
    path(f"{DATASET}edit/", datasets.dataset_edit, name="dataset_edit"),
    path(f"{DATASET}upload/", uploads.version_upload_new, name="version_upload_new"),
    path(f"{DATASET}history/", compare.dataset_history, name="dataset_history"),
    path(f"{DATASET}retention/", retention.dataset_retention, name="dataset_retention"),
    path(f"{DATASET}integrity/", integrity.dataset_integrity, name="dataset_integrity"),
    path(f"{DATASET}verify/", integrity.dataset_verify, name="dataset_verify"),
    path(f"{VERSION}integrity/", integrity.dataset_integrity, name="version_integrity"),
    path(f"{DATASET}space/", space.dataset_space, name="dataset_space"),
    path(f"{DATASET}compare/", compare.dataset_compare, name="dataset_compare"),
    path(f"{VERSION}diff/<version:other>/", compare.version_diff, name="version_diff"),
    path(f"{DATASET}labels/", labels.dataset_labels, name="dataset_labels"),
    path(f"{DATASET}labels/<str:label>/delete/", labels.label_delete, name="label_delete"),
    path(f"{DATASET}archive/", trash.dataset_archive, name="dataset_archive"),
    path(f"{DATASET}unarchive/", trash.dataset_unarchive, name="dataset_unarchive"),
    path(f"{DATASET}delete/", trash.dataset_delete, name="dataset_delete"),
    path(f"{DATASET}restore/", trash.dataset_restore, name="dataset_restore"),
    path(f"{DATASET}purge/", trash.dataset_purge, name="dataset_purge"),
    path(f"{VERSION}purge/", trash.version_purge, name="version_purge"),
    path(f"{TEAM}trash/", trash.trash_list, name="trash_list"),
    path(VERSION, versions.version_detail, name="version_detail"),
    path(f"{VERSION}delete/", trash.version_delete, name="version_delete"),
    path(f"{VERSION}restore/", trash.version_restore, name="version_restore"),
    path(f"{VERSION}upload/", uploads.version_upload, name="version_upload"),
    path(f"{VERSION}changes/", changes.version_changes, name="version_changes"),
    path(f"{VERSION}changes/move/", changes.change_move, name="change_move"),
    path(f"{VERSION}changes/remove/", changes.change_remove, name="change_remove"),
    path(f"{VERSION}changes/undo-all/", changes.change_undo_all, name="change_undo_all"),
    path(f"{VERSION}changes/undo/", changes.change_undo, name="change_undo"),
    path(f"{VERSION}summary/", versions.version_summary, name="version_summary"),
    path(f"{VERSION}status/", versions.version_status, name="version_status"),
    path(f"{VERSION}seal/", versions.version_seal, name="version_seal"),
    path(f"{VERSION}abandon/", versions.version_abandon, name="version_abandon"),
    path(f"{VERSION}tree/", tree.version_tree, name="version_tree"),
    path(f"{VERSION}tree/<path:path>", tree.version_tree, name="version_tree"),
    path(f"{VERSION}types/", tree.folder_types, name="folder_types"),
    path(f"{VERSION}types/<path:path>", tree.folder_types, name="folder_types"),
    path(f"{VERSION}overlap/", overlap.version_overlap, name="version_overlap"),
    path(f"{VERSION}search/", tree.version_search, name="version_search"),
    path(f"{VERSION}files/<path:path>", tree.file_detail, name="file_detail"),
    path(f"{VERSION}compare/<path:path>", file_compare.file_compare, name="file_compare"),
    path(f"{VERSION}sql/", file_compare.version_sql, name="version_sql"),
    path(f"{VERSION}products/<path:path>", tree.file_product, name="file_product"),
]

storage_pages = [
    path("storage/", storage.storage, name="storage"),
    path("storage/collect/", storage.storage_collect, name="storage_collect"),
    path("storage/verify/", storage.storage_verify, name="storage_verify"),
    path("storage/blob/", storage.storage_blob, name="storage_blob"),
    path("storage/journal/", storage.storage_journal, name="storage_journal"),
]
import_pages = [
    path(f"{TEAM}imports/new/", import_new.import_new, name="import_new"),
    path(f"{VERSION}import/problems/", imports.import_problems, name="import_problems"),
    path(f"{VERSION}import/cancel/", imports.import_cancel, name="import_cancel"),
    path(f"{VERSION}import/retry/", imports.import_retry, name="import_retry"),
    path(f"{VERSION}import/leave-out/", imports.import_leave_out, name="import_leave_out"),
]
connection_pages = [
    path(CONNECTIONS, connections.connection_list, name="connection_list"),
    path(f"{CONNECTIONS}new/", connections.connection_new, name="connection_new"),
    path(CONNECTION, connections.connection_detail, name="connection_detail"),
    path(f"{CONNECTION}edit/", connections.connection_edit, name="connection_edit"),
    path(f"{CONNECTION}delete/", connections.connection_delete, name="connection_delete"),
    path(f"{CONNECTION}check/", connections.connection_check, name="connection_check"),
]
job_pages = [
    path(JOBS, jobs.job_list, name="job_list"),
    path(f"{JOBS}new/", job_new.job_new, name="job_new"),
    path(JOB, jobs.job_detail, name="job_detail"),
    path(f"{JOB}stop/", jobs.job_stop, name="job_stop"),
    path(f"{JOB}outputs/", jobs.job_outputs, {"path": ""}, name="job_outputs"),
    path(f"{JOB}outputs/<path:path>", jobs.job_outputs, name="job_outputs"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include("datasets_app.tus")),
    path("api/v1/", api.urls),
    *account_pages,
    *team_pages,
    *dataset_pages,
    *storage_pages,
    *connection_pages,
    *import_pages,
    *job_pages,
    # After everything else under api/, also the tus endpoint.
    path("api/<path:rest>", no_such_address),
]
