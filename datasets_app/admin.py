"""The operator's view of the database, at /admin/: people can be changed there, data only looked at.

What is sealed can't be changed by anybody, and what hangs together is changed by services; so no form here tries.
"""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from datasets_app.models import (
    ApiToken,
    AuditEvent,
    Connection,
    Dataset,
    Import,
    Job,
    Membership,
    Team,
    User,
    Version,
)

admin.site.site_header = "FlexAI Dataset Manager"
admin.site.site_title = "FlexAI administration"
admin.site.index_title = "Administration"
# Rights hang on team memberships alone.
admin.site.unregister(Group)


class MembershipInline(admin.TabularInline[Membership, Team]):
    """Members of a team, or teams of a user."""

    model = Membership
    extra = 0
    autocomplete_fields = ("user", "team")


@admin.register(User)
class PersonAdmin(UserAdmin[User]):
    """Accounts: passwords can be set anew, and people shut out."""

    list_display = ("username", "is_active", "is_staff", "last_login", "date_joined")
    list_filter = ("is_active", "is_staff")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    inlines = (MembershipInline,)


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin[Team]):
    """Teams and their members; the way back in when a team has lost its last admin."""

    list_display = ("name", "created_at")
    search_fields = ("name",)
    inlines = (MembershipInline,)


class ReadOnly:
    """Rows to look at."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never."""
        del request, obj
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never."""
        del request, obj
        return False


@admin.register(Dataset)
class DatasetAdmin(ReadOnly, admin.ModelAdmin[Dataset]):
    """Datasets."""

    list_display = ("name", "team", "last_number", "updated_at", "archived_at", "deleted_at")
    list_filter = ("team",)
    list_select_related = ("team",)
    search_fields = ("name", "description")


@admin.register(Version)
class VersionAdmin(ReadOnly, admin.ModelAdmin[Version]):
    """Versions, with who works on them and what went wrong."""

    list_display = ("label", "team", "status", "size", "file_count", "attempts", "lease_until", "created_at")
    list_filter = ("status",)
    list_select_related = ("dataset__team", "root")
    search_fields = ("dataset__name", "error")
    exclude = ("root", "lease_token")

    @admin.display(description="team")
    def team(self, version: Version) -> str:
        """Return the owner's name."""
        return version.dataset.team.name


@admin.register(Job)
class JobAdmin(ReadOnly, admin.ModelAdmin[Job]):
    """Jobs, with who works on them and what went wrong."""

    list_display = ("name", "team", "kind", "status", "exit_code", "attempts", "lease_until", "created_at")
    list_filter = ("status", "kind")
    list_select_related = ("team",)
    search_fields = ("name", "error")
    # Variables of a job may hold passwords.
    exclude = ("env", "runner_state", "lease_token")


@admin.register(Connection)
class ConnectionAdmin(ReadOnly, admin.ModelAdmin[Connection]):
    """Connections, without their secrets."""

    list_display = ("name", "team", "provider", "created_by", "updated_at")
    list_filter = ("provider", "team")
    list_select_related = ("team", "created_by")
    search_fields = ("name",)
    fields = ("team", "name", "provider", "settings", "created_by", "created_at", "updated_at")


@admin.register(Import)
class ImportAdmin(ReadOnly, admin.ModelAdmin[Import]):
    """Imports, with who works on them and what went wrong."""

    list_display = ("version", "source", "provider", "status", "attempts", "lease_until", "created_at")
    list_filter = ("status", "provider")
    list_select_related = ("version__dataset",)
    search_fields = ("version__dataset__name", "source_path", "error")
    exclude = ("lease_token", "samples")

    @admin.display(description="source")
    def source(self, run: Import) -> str:
        """Return the connection and the path."""
        return str(run)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnly, admin.ModelAdmin[ApiToken]):
    """Tokens, which an operator can revoke."""

    list_display = ("name", "prefix", "user", "scope", "team", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("user", "team")
    search_fields = ("name", "prefix", "user__username")
    actions = ("revoke",)

    @admin.action(description="Revoke selected tokens", permissions=["view"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiToken]) -> None:
        """End the tokens."""
        ended = rows.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"Tokens revoked: {ended}.")


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly, admin.ModelAdmin[AuditEvent]):
    """Who did what."""

    list_display = ("created_at", "team", "actor_name", "verb", "subject")
    list_filter = ("verb",)
    list_select_related = ("team",)
    search_fields = ("actor_name", "subject")
    date_hierarchy = "created_at"
