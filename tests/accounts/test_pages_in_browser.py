"""The pages of accounts and teams in a real browser: accessible, within the policy, at all widths, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect
from pytest_django.live_server_helper import LiveServer

from datasets_app.models import Role, User
from tests.e2e.looking import STILL, run_axe
from tests.factories import PASSWORD, make_member, make_team

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SHOTS = os.environ.get("SHOTS", "")


@pytest.fixture
def watched(page: Page) -> Iterator[Page]:
    """Give a page whose console must stay free of errors: the security policy's refusals are written there."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []


def check(page: Page, name: str) -> None:
    """Let axe look at the page in both colour schemes, and see that nothing sticks out on a phone."""
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        page.evaluate(STILL)
        found = run_axe(page)
        assert found.violations_count == 0, found.generate_report()
    if SHOTS:
        page.emulate_media(color_scheme="light")
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}-390.png", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 800})


def test_from_the_first_visit_to_a_second_member(watched: Page, live_server: LiveServer) -> None:
    page = watched
    page.goto(live_server.url)
    check(page, "setup")
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    page.get_by_label("Team").fill("vision")
    page.get_by_role("button", name="Make the account and the team").click()
    expect(page).to_have_url(f"{live_server.url}/teams/vision/datasets/")

    page.goto(f"{live_server.url}/account/")
    page.get_by_label("What it is for").fill("server")
    page.get_by_role("button", name="Make the token").click()
    expect(page.locator("#new-token")).to_contain_text("flexai_")
    check(page, "account")

    page.goto(f"{live_server.url}/teams/vision/")
    page.get_by_label("For whom").fill("Grace")
    page.get_by_role("button", name="Make a link").click()
    link = page.locator("#new-link").inner_text()
    assert link.startswith(f"{live_server.url}/invitations/")
    check(page, "team")

    page.get_by_label("Your account").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{live_server.url}/sign-in/")
    check(page, "sign-in")
    page.goto(link)
    check(page, "invitation")
    page.get_by_label("User name").fill("grace")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    page.get_by_role("button", name="Make an account and join").click()
    expect(page).to_have_url(f"{live_server.url}/teams/vision/datasets/")


def test_an_admin_changes_a_role_and_removes_a_member(watched: Page, live_server: LiveServer) -> None:
    page = watched
    team = make_team("vision")
    make_member(team, Role.ADMIN, "ada")
    make_member(team, Role.READER, "grace")
    page.goto(f"{live_server.url}/teams/vision/")
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Role of grace").select_option("writer")
    expect(page.get_by_text("grace is now writer in vision.")).to_be_visible()
    page.get_by_role("button", name="Remove grace").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("grace is no longer in vision.")).to_be_visible()
    expect(page.get_by_label("Role of grace")).to_have_count(0)


def test_the_administration_keeps_the_policy(watched: Page, live_server: LiveServer) -> None:
    page = watched
    make_team("vision", admin=User.objects.create_superuser("root", password=PASSWORD))
    page.goto(f"{live_server.url}/admin/")
    page.get_by_label("User name").fill("root")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Teams", exact=True).first.click()
    page.get_by_role("link", name="vision").click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_visible()


def test_the_api_documentation_needs_no_other_server(watched: Page, live_server: LiveServer) -> None:
    page = watched
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{live_server.url}/api/v1/docs")
    expect(page.get_by_text("Make a dataset", exact=True)).to_be_visible()
    check(page, "api")
    page.get_by_role("link", name="Try the calls").click()
    # It reads all of the document first.
    expect(page.locator(".opblock").get_by_text("Make a dataset", exact=True)).to_be_visible(timeout=30_000)
    assert all(url.startswith((live_server.url, "data:", "blob:")) for url in asked), asked
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/docs.png", full_page=True)
