"""ministack: an emulator of Amazon S3, IAM and STS on the loopback interface, as exact as Amazon."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import pytest

from tests.servers import ROOT, START_SECONDS, end_group, free_port, wait_until

PROGRAM: Final = ROOT / ".venv" / "ministack" / "bin" / "ministack"
EVERYTHING: Final = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass(frozen=True)
class Keys:
    """Credentials."""

    access_key: str
    secret_key: str
    session_token: str = ""


@dataclass(frozen=True)
class Ministack:
    """The running emulator. `keys` are those of a user who may do everything; signatures are checked."""

    endpoint: str
    keys: Keys
    region: str = "us-east-1"

    def client(self, service: str, keys: Keys | None = None) -> Any:  # noqa: ANN401 (boto3 has a type for each service)
        """Return boto3's client of s3, iam or sts."""
        keys = keys or self.keys
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.session_token or None,
            region_name=self.region,
        )

    def temporary_keys(self) -> Keys:
        """Return keys that only work together with their session token."""
        sts = self.client("sts")
        made = sts.get_session_token(DurationSeconds=900)["Credentials"]
        sts.close()
        return Keys(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serve_ministack(folder: Path) -> Iterator[Ministack]:
    """Run it; its log goes into the folder, its objects live in memory."""
    if not PROGRAM.exists():
        pytest.skip("ministack is not installed (make test does it)")
    port = free_port()
    settings = {
        "AUTH": "true",
        "SERVICES": "s3,iam,sts",
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | settings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: listens(port), seconds=START_SECONDS, what="ministack did not start", process=process)
        yield _with_user(Ministack(f"http://127.0.0.1:{port}", Keys("test", "test")))
    finally:
        end_group(process, signal.SIGKILL)


def _with_user(root: Ministack) -> Ministack:
    """Make a user, because the keys of the account itself are not checked."""
    iam = root.client("iam")
    iam.create_user(UserName="importer")
    made = iam.create_access_key(UserName="importer")["AccessKey"]
    iam.put_user_policy(UserName="importer", PolicyName="all", PolicyDocument=json.dumps(EVERYTHING))
    iam.close()
    return Ministack(root.endpoint, Keys(made["AccessKeyId"], made["SecretAccessKey"]))
