"""What operations of the API can do something with: made for the calls that change it or use it up."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import httpx

TEAM: Final = "vision"
SECONDS: Final = 60
# Of an open version: what the document's examples name.
PATHS: Final = ("train/1.png", "train/2.png", "train/broken.png", "old/1.txt")
# Things of one kind, which take a request or several each.
ANEW: Final = 4
NOBODY: Final = {"endpoint": "http://127.0.0.1:1", "access_key": "key", "secret_key": "secret"}
OCTETS: Final = "application/offset+octet-stream"
TUS: Final = {"Tus-Resumable": "1.0.0"}


class Made(NamedTuple):
    """Parts of an address; with body and headers, a whole request that the server has to take."""

    address: dict[str, Any]
    body: Any = None
    headers: dict[str, str] | None = None


class Workshop:
    """Makes things in the team `vision` by the API. Its connection `nowhere` is never answered, `shelf` leads to S3."""

    def __init__(self, url: str, token: str, source: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=SECONDS)
        self._source = source
        self._own_token = self._send("GET", "/me").json()["token"]["id"]
        # Threads of one run, and runs that follow each other, share a server.
        self._numbers = itertools.count(1)
        self._run = uuid.uuid4().hex[:8]
        self._made: dict[str, list[Made]] = {}
        self._importing: Made | None = None

    def make(self, operation: str, *, anew: bool) -> Made | None:
        """Return what the operation shall be about; None for those that leave what there is as it is.

        Some calls get a new thing each, if they want it; all others the one that the last of these has left.
        """
        maker = MAKERS.get(operation)
        if maker is None:
            return None
        made = self._made.setdefault(operation, [])
        if not made or (anew and len(made) < ANEW):
            made.append(maker(self))
        return made[-1]

    def spares(self, operation: str, address: Mapping[str, Any]) -> bool:
        """Whether the operation leaves the token alone by which everything here is done."""
        return operation != "revoke_token" or str(address.get("token_id")) != str(self._own_token)

    def _send(self, method: str, path: str, body: object = None, **more: Any) -> httpx.Response:
        answer = self._client.request(method, path, json=body, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def _in_team(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        answer = self._send(method, f"/teams/{TEAM}/{path}", body)
        return answer.json() if answer.content else None

    def _name(self) -> str:
        return f"made-{self._run}-{next(self._numbers)}"

    def token(self) -> Made:
        return Made({"token_id": self._send("POST", "/tokens", {"name": "made"}).json()["id"]})

    def name(self, **more: Any) -> Made:
        """A name that nothing has yet."""
        return Made({}, {"name": self._name(), **more}, {"Idempotency-Key": self._name()})

    def dataset(self) -> Made:
        name = self._name()
        self._in_team("POST", "datasets", {"name": name})
        return Made({"team": TEAM, "name": name})

    def archived(self) -> Made:
        made = self.dataset()
        self._in_team("POST", f"datasets/{made.address['name']}/archive")
        return made

    def trashed(self) -> Made:
        made = self.dataset()
        self._in_team("DELETE", f"datasets/{made.address['name']}")
        return made._replace(body={"confirm": made.address["name"]})

    def new_version(self) -> Made:
        return self.sealed()._replace(body={"base": 1, "message": "made"}, headers={"Idempotency-Key": self._name()})

    def open_version(self, *, size: int = 1, paths: tuple[str, ...] = PATHS) -> Made:
        """A version that declares files, none of which has arrived."""
        made = self.dataset()
        name = made.address["name"]
        number = self._in_team("POST", f"datasets/{name}/versions", {})["number"]
        files = [{"path": path, "size": size} for path in paths]
        self._in_team("POST", f"datasets/{name}/versions/{number}/plan", {"files": files})
        return Made({**made.address, "number": number})

    def full(self) -> Made:
        """An open version, all of whose files have arrived."""
        made = self.open_version(size=0)
        self._in_team("POST", f"{self._about(made)}/bundles", {"paths": PATHS})
        return made

    def sealed(self) -> Made:
        made = self.full()
        self._in_team("POST", f"{self._about(made)}/seal")
        self._wait(self._about(made), lambda row: row["status"] == "available")
        return made

    def trashed_version(self) -> Made:
        made = self.sealed()
        self._in_team("DELETE", self._about(made))
        return made._replace(body={"confirm": "{name}@{number}".format(**made.address)})

    def labelled(self) -> Made:
        made = self.sealed()
        self._in_team("PUT", f"datasets/{made.address['name']}/labels/production", {"version": 1})
        return Made({**made.address, "label": "production"})

    def connection(self) -> Made:
        name = self._name()
        self._in_team("POST", "connections", {"name": name, "provider": "minio", "values": NOBODY})
        return Made({"team": TEAM, "name": name}, {"values": {"secret_key": "another"}})

    def shelf(self) -> Made:
        return Made({"team": TEAM, "name": "shelf"}, {"source_path": self._source})

    def to_import(self) -> Made:
        body = {"connection": "shelf", "source_path": self._source}
        return self.open_version()._replace(body=body, headers={"Idempotency-Key": self._name()})

    def importing(self) -> Made:
        """An import that goes on for long: nobody answers. The one before makes room: a team has few at a time."""
        if self._importing is not None:
            address = f"/teams/{TEAM}/{self._about(self._importing)}/import/cancel"
            self._client.post(address)
        made = self._importing = self.open_version()
        body = {"connection": "nowhere", "source_path": "bucket"}
        self._in_team("POST", f"{self._about(made)}/import", body)
        return made

    def cancelled(self) -> Made:
        made = self.importing()
        self._in_team("POST", f"{self._about(made)}/import/cancel")
        return made

    def imported_in_part(self) -> Made:
        """An import that has failed: one object has a name that no file may have."""
        made = self.full()
        self._in_team("POST", f"{self._about(made)}/import", {"connection": "shelf", "source_path": self._source})
        self._wait(f"{self._about(made)}/import", lambda row: row["status"] == "failed")
        return made

    def upload(self) -> Made:
        made = self.open_version()
        address = "{name}/versions/{number}".format(**made.address)
        bundle = self._send("POST", f"/teams/{TEAM}/datasets/{address}/bundles", {"paths": PATHS})
        upload = bundle.headers["Location"].rpartition("/")[2]
        return Made({"upload_id": upload}, b"1234", {**TUS, "Upload-Offset": "0", "Content-Type": OCTETS})

    def job(self) -> Made:
        name = self._name()
        self._in_team("POST", "jobs", {"name": name, "kind": "training", "command": ["sleep", "1000"]})
        return Made({"team": TEAM, "name": name})

    @staticmethod
    def _about(made: Made) -> str:
        return "datasets/{name}/versions/{number}".format(**made.address)

    def _wait(self, path: str, condition: Callable[[Any], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not condition(row := self._in_team("GET", path)):
            assert time.monotonic() < end, f"{path} is still {row}"
            time.sleep(0.05)


# By operation. All others leave what they are about as it was, or take it as the test has laid it out.
MAKERS: Final[dict[str, Callable[[Workshop], Made]]] = {
    "revoke_token": Workshop.token,
    "create_dataset": Workshop.name,
    "delete_dataset": Workshop.dataset,
    "archive_dataset": Workshop.dataset,
    "unarchive_dataset": Workshop.archived,
    "restore_dataset": Workshop.trashed,
    "purge_dataset": Workshop.trashed,
    "set_retention": Workshop.dataset,
    "create_version": Workshop.new_version,
    "delete_version": Workshop.sealed,
    "restore_version": Workshop.trashed_version,
    "purge_version": Workshop.trashed_version,
    "delete_label": Workshop.labelled,
    "plan_files": Workshop.open_version,
    "remove_paths": Workshop.open_version,
    "leave_out_files": Workshop.open_version,
    "move_paths": Workshop.full,
    "undo_changes": Workshop.open_version,
    "list_changes": Workshop.open_version,
    "create_bundle": Workshop.open_version,
    "seal_version": Workshop.full,
    "abandon_version": Workshop.open_version,
    "start_import": Workshop.to_import,
    "get_import": Workshop.cancelled,
    "list_import_problems": Workshop.cancelled,
    "cancel_import": Workshop.importing,
    "retry_import": Workshop.cancelled,
    "leave_out_failed": Workshop.imported_in_part,
    "create_connection": lambda shop: shop.name(provider="minio", values=NOBODY),
    "edit_connection": Workshop.connection,
    "delete_connection": Workshop.connection,
    "browse_connection": Workshop.shelf,
    "preview_import": Workshop.shelf,
    "create_job": lambda shop: shop.name(kind="training", command=["true"]),
    "stop_job": Workshop.job,
    "get_upload": Workshop.upload,
    "send_bytes": Workshop.upload,
    "delete_upload": Workshop.upload,
    "describe_upload": Workshop.upload,
}
