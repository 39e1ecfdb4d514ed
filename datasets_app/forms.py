"""Forms of the pages: they hold what was typed and say what is wrong; the rules themselves are the services'."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from django import forms
from django.forms.boundfield import BoundField

from datasets_app.errors import AppError
from datasets_app.models import NAME_RULE, Job, Role
from datasets_app.services.searching import Search
from datasets_app.sources.base import Field, Provider


def show_errors(form: forms.Form, error: AppError) -> None:
    """Put a service's errors beside the fields that they name; the others above the form."""
    for item in error.errors:
        field = item.get("field", "")
        form.add_error(field if field in form.fields else None, item["detail"])
    if not error.errors:
        form.add_error(None, error.detail)


class DatasetEditForm(forms.Form):
    """What can be changed later: the description, and tags with commas or spaces between."""

    description = forms.CharField(
        required=False,
        strip=True,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="Where the data comes from, what is in it, what it may be used for. Plain text.",
    )
    tags = forms.CharField(
        required=False, help_text="Words to find it by, with commas between: raw, german, 2026", max_length=2000
    )

    def clean_tags(self) -> list[str]:
        """Split at commas."""
        text: str = self.cleaned_data["tags"]
        return [word.strip() for word in text.split(",") if word.strip()]


class DatasetForm(DatasetEditForm):
    """A new dataset."""

    name = forms.CharField(
        max_length=200,
        strip=True,
        widget=forms.TextInput(
            attrs={
                "autofocus": True,
                "autocomplete": "off",
                "autocapitalize": "none",
                "spellcheck": "false",
                "data-name-rules": "name-rules",
                "aria-describedby": "name-rules",
            }
        ),
    )
    field_order = ("name", "description", "tags")


LIFETIMES = ((1, "1 day"), (7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "1 year"))
ROLES = (
    (Role.READER, "Reader: sees and downloads"),
    (Role.WRITER, "Writer: also uploads and runs jobs"),
    (Role.ADMIN, "Admin: also manages members"),
)


def _username(*, new: bool) -> forms.CharField:
    attrs = {"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false", "autofocus": True}
    return forms.CharField(
        label="User name",
        max_length=150,
        widget=forms.TextInput(attrs=attrs),
        help_text="Letters, digits and @ . + - _" if new else "",
    )


def _password(label: str, *, new: bool, hint: str = "") -> forms.CharField:
    attrs = {"autocomplete": "new-password" if new else "current-password"}
    return forms.CharField(
        label=label, strip=False, max_length=1000, widget=forms.PasswordInput(attrs=attrs), help_text=hint
    )


class SignInForm(forms.Form):
    """Who comes in."""

    username = _username(new=False)
    password = _password("Password", new=False)


class JoinForm(forms.Form):
    """A new account; the password is typed twice, since nobody sees it."""

    username = _username(new=True)
    password = _password("Password", new=True, hint="At least 8 characters, and not a common one.")
    again = _password("The same password again", new=True)

    def clean_again(self) -> str:
        """Compare with the first."""
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("password", again):
            raise forms.ValidationError("The two passwords differ.")
        return again


class SetupForm(JoinForm):
    """The first account, and its team."""

    team = forms.CharField(
        label="Team",
        max_length=200,
        strip=True,
        widget=forms.TextInput(attrs={"autocomplete": "organization", "autocapitalize": "none", "spellcheck": "false"}),
        help_text=f"Owns the datasets, and is part of every address: {NAME_RULE}.",
    )


class PasswordForm(forms.Form):
    """One's own password, changed."""

    current = _password("Present password", new=False)
    new = _password("New password", new=True, hint="At least 8 characters, and not a common one.")
    again = _password("The new password again", new=True)

    def clean_again(self) -> str:
        """Compare with the first."""
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("new", again):
            raise forms.ValidationError("The two passwords differ.")
        return again


class TokenForm(forms.Form):
    """A new API token. An empty lifetime never ends, an empty team means all of one's teams."""

    name = forms.CharField(
        label="What it is for",
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "Training server"}),
    )
    scope = forms.ChoiceField(label="May do at most", choices=ROLES, initial=Role.WRITER)
    team = forms.ChoiceField(label="In", required=False)
    expires_in_days = forms.TypedChoiceField(
        label="Ends after",
        required=False,
        coerce=int,
        empty_value=None,
        initial=90,
        choices=(*LIFETIMES, ("", "never")),
    )

    def __init__(self, *args: Any, teams: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast("forms.ChoiceField", self.fields["team"])
        field.choices = [("", "all of my teams"), *((name, name) for name in teams)]


class TeamForm(forms.Form):
    """A new team."""

    name = forms.CharField(
        max_length=200,
        strip=True,
        widget=forms.TextInput(
            attrs={"autofocus": True, "autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
        help_text=f"Part of every address: {NAME_RULE}. It can't be changed later.",
    )


class InvitationForm(forms.Form):
    """A link into the team."""

    role = forms.ChoiceField(label="Role", choices=ROLES, initial=Role.READER)
    expires_in_days = forms.TypedChoiceField(label="Ends after", coerce=int, initial=7, choices=LIFETIMES[:4])
    note = forms.CharField(
        label="For whom",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "Ada, from the vision group"}),
    )


_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_TIMES = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


class SizeField(forms.CharField):
    """Bytes, written `512M` or `16 GiB` (binary units), or `10 MB` (decimal, as pages write sizes); empty is None."""

    def clean(self, value: str | None) -> int | None:
        """Return the number of bytes."""
        text = super().clean(value).strip().lower()
        if not text:
            return None
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?", text)
        if match is None:
            raise forms.ValidationError("Write a size such as 512 MiB or 16 GiB.")
        return int(float(match[1]) * (1000 if match[3] == "b" else 1024) ** _POWERS[match[2]])


class DurationField(forms.CharField):
    """Seconds, written `90 s`, `30 min`, `1h 30m` or `2 d`; empty is None."""

    def clean(self, value: str | None) -> int | None:
        """Return the number of seconds."""
        text = super().clean(value).strip().lower()
        if not text:
            return None
        parts = re.findall(r"(\d+(?:\.\d+)?)\s*(min|sec|[smhd]?)\s*", text)
        if not parts or re.fullmatch(r"(?:\d+(?:\.\d+)?\s*(?:min|sec|[smhd]?)\s*)+", text) is None:
            raise forms.ValidationError("Write a time such as 90 s, 30 min or 12 h.")
        return int(sum(float(number) * _TIMES[unit] for number, unit in parts))


def split_command(text: str) -> list[str]:
    """Split a command as a shell would; ValueError while a quotation is open.

    Browsers send a text field's line ends as CR LF, and bash stumbles over the CR.
    """
    return shlex.split(text.replace("\r\n", "\n"))


class JobForm(forms.Form):
    """A job without its datasets and environment, which are lists of rows."""

    # Its buttons submit it half-filled, to add a row.
    use_required_attribute = False

    name = forms.CharField(
        max_length=200,
        strip=True,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
        help_text=f"Unique in the team: {NAME_RULE}.",
    )
    kind = forms.ChoiceField(choices=Job.Kind.choices)
    command = forms.CharField(
        strip=True,
        widget=forms.Textarea(
            attrs={"rows": 3, "spellcheck": "false", "autocapitalize": "none", "class": "mono", "autocomplete": "off"}
        ),
        help_text="A program and its arguments, quoted as in a shell. For pipes and variables write bash -c '...'.",
    )
    memory_bytes = SizeField(
        label="Memory", required=False, widget=forms.TextInput(attrs={"placeholder": "no limit, or 16 GiB"})
    )
    time_limit_seconds = DurationField(
        label="Run time", required=False, widget=forms.TextInput(attrs={"placeholder": "no limit, or 12 h"})
    )
    cpu_seconds = DurationField(
        label="CPU time", required=False, widget=forms.TextInput(attrs={"placeholder": "no limit, or 24 h"})
    )
    max_processes = forms.IntegerField(
        label="Processes and threads", required=False, widget=forms.TextInput(attrs={"inputmode": "numeric"})
    )
    allow_network = forms.BooleanField(label="Allow network access", required=False)

    def clean_command(self) -> list[str]:
        """Split as a shell would, without running one."""
        try:
            words = split_command(self.cleaned_data["command"])
        except ValueError as error:
            message = f"This can't be split into words: {str(error)[:1].lower()}{str(error)[1:]}."
            raise forms.ValidationError(message) from error
        return words


_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
FORGET = "forget_"


class ConnectionForm(forms.Form):
    """How to reach a remote store: the fields of one provider. Secrets are never rendered again.

    `stored` names the secrets that are kept already: left empty they stay, and those that are not needed can be
    removed by a box of their own.
    """

    def __init__(
        self, *args: Any, provider: Provider, is_new: bool, stored: Collection[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.provider = provider
        self.stored = stored
        if is_new:
            self.fields["name"] = forms.CharField(
                max_length=200,
                widget=forms.TextInput(attrs={**_PLAIN, "autofocus": True}),
                help_text=f"What your team calls it: {NAME_RULE}.",
            )
        for field in provider.fields:
            self.fields[field.name] = _input_of(field, is_stored=field.name in stored)
            if field.name in stored and not field.required:
                self.fields[FORGET + field.name] = forms.BooleanField(
                    label=f"Remove the stored {field.label[:1].lower()}{field.label[1:]}", required=False
                )

    def rows(self) -> list[tuple[Field, BoundField, BoundField | None]]:
        """Return each field of the provider with its input, and the box that removes its stored secret."""
        return [
            (field, self[field.name], self[FORGET + field.name] if FORGET + field.name in self.fields else None)
            for field in self.provider.fields
        ]

    def values(self) -> dict[str, str]:
        """Return what was typed, as the services take it: a switch is "on" or empty."""
        given: Mapping[str, Any] = self.cleaned_data
        found = {field.name: given.get(field.name, "") for field in self.provider.fields}
        return {name: ("on" if value is True else "" if value is False else value) for name, value in found.items()}

    def forgotten(self) -> set[str]:
        """Return the names of the secrets that shall be removed."""
        return {
            name.removeprefix(FORGET) for name, value in self.cleaned_data.items() if name.startswith(FORGET) and value
        }


def _input_of(field: Field, *, is_stored: bool) -> forms.Field:
    common: dict[str, Any] = {
        "label": field.label,
        # One that is only asked for sometimes is judged by the service.
        "required": field.required and not is_stored and not field.when,
        "help_text": field.help,
        "initial": field.default,
    }
    attrs = {**_PLAIN, "placeholder": field.placeholder}
    if field.kind == "switch":
        return forms.BooleanField(**common | {"required": False, "initial": field.default == "on"})
    if field.kind == "choice":
        return forms.ChoiceField(**common, choices=field.choices)
    if field.kind == "secret":
        # "off" does not keep browsers from filling in the account's own password.
        attrs |= {
            "autocomplete": "new-password",
            "placeholder": "stored; empty keeps it" if is_stored else field.placeholder,
        }
        return forms.CharField(**common, strip=False, widget=forms.PasswordInput(attrs=attrs))
    if field.kind == "long":
        return forms.CharField(**common, widget=forms.Textarea(attrs={**attrs, "rows": 5, "class": "mono"}))
    return forms.CharField(**common, widget=forms.TextInput(attrs=attrs))


class FileSearchForm(forms.Form):
    """What to look for in a version; nonsense in a size is told, and is as if it were not asked."""

    q = forms.CharField(label="Name or pattern", required=False, max_length=500)
    suffix = forms.CharField(label="Ending", required=False, max_length=50)
    least = SizeField(label="Size from", required=False)
    most = SizeField(label="Size up to", required=False)
    number = forms.IntegerField(required=False, min_value=1)

    @property
    def search(self) -> Search:
        """What was asked."""
        self.is_valid()
        given = self.cleaned_data
        return Search(
            text=given.get("q", ""),
            suffix=given.get("suffix", ""),
            least_size=given.get("least"),
            most_size=given.get("most"),
        )

    @property
    def page(self) -> int:
        """Which page of the answers."""
        self.is_valid()
        return int(self.cleaned_data.get("number") or 1)
