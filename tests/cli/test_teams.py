"""Which team a command works in: given, from a variable, saved, the only one; and what is said where none is clear."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from flexai_cli import Client, FlexaiError
from tests.cli.conftest import Flexai, write_files
from tests.servers import LiveApplication

pytestmark = pytest.mark.server

OF_NOBODY = """
from datasets_app.models import User
from datasets_app.services.tokens import create_token
print(create_token(User.objects.create(username="nobody"), name="mine")[1])
"""


@dataclass(frozen=True)
class Tokens:
    """What grace, who is in the teams `alpha` and `beta`, and an account without a team may use."""

    both: str
    beta: str
    nobody: str


@pytest.fixture(scope="session")
def tokens(shared_application: LiveApplication) -> Tokens:
    """Make the accounts."""
    both = ""
    for team in ("alpha", "beta"):
        command = ("bootstrap", "--username", "grace", "--password", "correct horse", "--team", team)
        both = shared_application.manage(*command).strip().splitlines()[-1]
    headers = {"Authorization": f"Bearer {both}"}
    body = {"name": "beta", "scope": "admin", "team": "beta"}
    _, answer = shared_application.request("POST", "/api/v1/tokens", body=body, headers=headers)
    nobody = shared_application.manage("shell", "-c", OF_NOBODY).strip().splitlines()[-1]
    return Tokens(both, json.loads(answer)["token"], nobody)


def with_token(flexai: Flexai, token: str, team: str = "") -> Flexai:
    """Return the command with another token and team."""
    return Flexai(flexai.home, flexai.url, token, team)


def test_a_token_for_several_teams(flexai: Flexai, tmp_path: Path, tokens: Tokens) -> None:
    ours = with_token(flexai, tokens.both)
    folder = write_files(tmp_path / "data", {"a": b"1"})
    for command in (["dataset", "list"], ["dataset", "push", "x", "--file", folder], ["job", "list"]):
        told = ours.run(*command, code=2).stderr
        assert "This token knows several teams: alpha, beta. Choose one by --team, or by FLEXAI_TEAM." in told
    assert "none. Choose one by --team" in ours.run("auth", "status").stdout
    # By the option, by the name, by the variable; the first two win.
    in_alpha = with_token(flexai, tokens.both, "alpha")
    assert ours.json("dataset", "push", "by-option", "--file", folder, "--team", "beta")["team"] == "beta"
    assert in_alpha.json("dataset", "push", "beta/by-name", "--file", folder)["team"] == "beta"
    assert in_alpha.json("dataset", "push", "by-variable", "--file", folder)["team"] == "alpha"
    assert [row["name"] for row in in_alpha.json("dataset", "list")] == ["by-variable"]
    assert [row["name"] for row in in_alpha.json("dataset", "list", "--team", "beta")] == ["by-name", "by-option"]
    for command in (["pull", "beta/by-name", tmp_path / "out"], ["cat", "beta/by-name", "a"]):
        in_alpha.run("dataset", *command)
        assert "contradicts" in in_alpha.run("dataset", *command, "--team", "alpha", code=2).stderr
    assert "by-name" in in_alpha.run("dataset", "inspect", "by-name", code=4).stderr


def test_a_token_for_one_team(flexai: Flexai, tmp_path: Path, tokens: Tokens) -> None:
    folder = write_files(tmp_path / "data", {"a": b"1"})
    ours = with_token(flexai, tokens.beta)
    assert ours.json("dataset", "push", "only", "--file", folder)["team"] == "beta"
    assert ours.json("auth", "status")["team"] == "beta"
    # Grace is in alpha, but not by this token.
    for wrong in ("alpha", "lab", "no-such-team"):
        for command in (["dataset", "list"], ["dataset", "push", "only", "--file", folder], ["storage", "list"]):
            for told in (
                with_token(flexai, tokens.beta, wrong).run(*command, code=4).stderr,
                ours.run(*command, "--team", wrong, code=4).stderr,
            ):
                assert f"There is no team {wrong} that this token knows; it knows beta." in told
    assert (
        "alpha, which this token does not know" in with_token(flexai, tokens.beta, "alpha").run("auth", "status").stdout
    )


def test_an_account_without_a_team(flexai: Flexai, tokens: Tokens) -> None:
    ours = with_token(flexai, tokens.nobody)
    assert f"This account is in no team. Make one at {flexai.url}/" in ours.run("dataset", "list", code=2).stderr
    assert "it knows none" in ours.run("dataset", "list", "--team", "alpha", code=4).stderr
    bare = Flexai(flexai.home, "", "", "")
    assert "no team yet" in bare.run("auth", "login", "--url", flexai.url, stdin=tokens.nobody + "\n").stdout


def test_what_is_saved(flexai: Flexai, tokens: Tokens) -> None:
    bare = Flexai(flexai.home, "", "", "")
    sign_in = ("auth", "login", "--url", flexai.url, "--token", tokens.both)
    assert "teams alpha, beta; choose one by --team" in bare.run(*sign_in).stdout
    assert "several teams" in bare.run("dataset", "list", code=2).stderr
    assert "knows alpha, beta" in bare.run(*sign_in, "--team", "lab", code=2).stderr
    bare.run(*sign_in, "--team", "alpha")
    assert bare.json("auth", "status")["team"] == "alpha"
    # Another token has teams of its own.
    other = Flexai(flexai.home, "", tokens.beta, "")
    assert other.json("auth", "status")["team"] == "beta"
    other.run("dataset", "list")


def test_the_python_client(flexai: Flexai, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEXAI_CONFIG_DIR", str(flexai.home))
    with pytest.raises(FlexaiError, match=r"several teams: alpha, beta\. Give team="):
        Client(flexai.url, tokens.both)
    with pytest.raises(FlexaiError, match="in no team"):
        Client(flexai.url, tokens.nobody)
    with Client(flexai.url, tokens.beta) as client:
        assert client.team == "beta"
