"""From a store to a dataset in a real browser: connect, check, look around, preview, import, see the files."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config
from playwright.sync_api import Browser, Page, expect

from tests.e2e.looking import check
from tests.e2e.uploading import sign_in
from tests.servers import LiveApplication, S3Server

pytestmark = [pytest.mark.browser, pytest.mark.server]

WAIT = 60_000


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[str]:
    """Make a bucket with a few folders."""
    client = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint,
        aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret_key,
        region_name=s3_server.region,
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )
    name = f"b{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    for number in range(30):
        client.put_object(Bucket=name, Key=f"2026/train/{number:03}.txt", Body=b"%d %b" % (number, name.encode()))
    client.put_object(Bucket=name, Key="2026/README.md", Body=b"# Scenes\n")
    client.put_object(Bucket=name, Key="2026/labels.csv", Body=b"a,b\n")
    client.put_object(Bucket=name, Key="odd/tab\there.txt", Body=b"no path")
    client.put_object(Bucket=name, Key="odd/good.txt", Body=b"good")
    yield name
    client.close()


def fill_connection(page: Page, application: LiveApplication, server: S3Server, name: str) -> None:
    """Fill in the form of a MinIO connection and send it."""
    page.goto(f"{application.url}/teams/lab/connections/new/")
    page.get_by_role("link", name="MinIO").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Endpoint").fill(server.endpoint)
    page.get_by_label("Access key", exact=True).fill(server.access_key)
    page.get_by_label("Secret key", exact=True).fill(server.secret_key)
    page.get_by_role("button", name="Save and check").click()


def test_connect_look_around_and_import(
    signed_in: Page, application: LiveApplication, s3_server: S3Server, bucket: str
) -> None:
    page, name = signed_in, f"store-{bucket}"
    fill_connection(page, application, s3_server, name)
    expect(page.locator("#check-outcome")).to_contain_text("works", timeout=WAIT)
    page.get_by_label("Source path to check").fill(f"{bucket}/2026")
    page.get_by_role("button", name="Check connection").click()
    expect(page.get_by_text("Read from README.md.")).to_be_visible(timeout=WAIT)
    page.get_by_role("link", name="Import from here").click()
    page.get_by_role("button", name=bucket, exact=True).click()
    page.get_by_role("button", name="2026", exact=True).click()
    expect(page.get_by_label("Source path")).to_have_value(f"{bucket}/2026")
    # Where the focus was is gone: it is on the first thing that can be opened.
    expect(page.get_by_role("button", name="train", exact=True)).to_be_focused()
    page.get_by_label("Leave out files that match").fill("*.csv")
    page.get_by_label("Destination folder").fill("scenes")
    page.get_by_label("Dataset", exact=True).fill(bucket)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("scenes/train/000.txt")).to_be_visible(timeout=WAIT)
    expect(page.locator("#preview")).to_contain_text("31")
    check(page, "import-form")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("heading", name=f"{bucket}@1 available")).to_be_visible(timeout=WAIT)
    page.get_by_role("link", name="scenes", exact=True).click()
    expect(page.get_by_role("link", name="README.md", exact=True)).to_be_visible()
    page.goto(f"{application.url}/teams/lab/datasets/{bucket}/")
    expect(page.get_by_text(f"{bucket}/2026")).to_be_visible()

    # Once more: nothing has to be fetched.
    page.get_by_role("link", name="Import", exact=True).click()
    page.goto(f"{application.url}/teams/lab/imports/new/?again=1&name={bucket}")
    expect(page.get_by_text(f"{bucket} is there.")).to_be_visible()
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("31 files,", timeout=WAIT)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("heading", name=f"{bucket}@2 available")).to_be_visible(timeout=WAIT)


def test_one_file_is_picked_by_keyboard(
    signed_in: Page, application: LiveApplication, s3_server: S3Server, bucket: str
) -> None:
    page = signed_in
    fill_connection(page, application, s3_server, f"store-{bucket}")
    expect(page.locator("#check-outcome")).to_contain_text("works", timeout=WAIT)
    page.goto(f"{application.url}/teams/lab/imports/new/?connection=store-{bucket}&source_path={bucket}/2026")
    row = page.get_by_role("button", name="labels.csv", exact=True)
    row.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Source path")).to_have_value(f"{bucket}/2026/labels.csv", timeout=WAIT)
    # It is marked and has the focus; the others are still there.
    expect(row).to_have_attribute("aria-pressed", "true")
    expect(row).to_be_focused()
    expect(page.get_by_role("button", name="README.md", exact=True)).to_be_visible()
    check(page, "import-picked")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Source path")).to_have_value(f"{bucket}/2026")
    expect(row).to_have_attribute("aria-pressed", "false")
    row.click()
    expect(row).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Dataset", exact=True).fill(bucket)
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview code")).to_have_text("labels.csv", timeout=WAIT)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("heading", name=f"{bucket}@1 available")).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("link", name="labels.csv", exact=True)).to_be_visible()


def test_what_fails_is_named_and_left_out(
    signed_in: Page, application: LiveApplication, s3_server: S3Server, bucket: str
) -> None:
    page = signed_in
    fill_connection(page, application, s3_server, f"store-{bucket}")
    expect(page.locator("#check-outcome")).to_contain_text("works", timeout=WAIT)
    page.goto(
        f"{application.url}/teams/lab/imports/new/?connection=store-{bucket}&source_path={bucket}/odd&name={bucket}"
    )
    expect(page.get_by_text("good.txt")).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("here.txt")).to_be_visible(timeout=WAIT)
    check(page, "import-failed")
    failed = page.url
    page.goto(f"{application.url}/teams/lab/datasets/{bucket}/versions/1/import/problems/")
    expect(page.get_by_text("here.txt")).to_be_visible()
    check(page, "import-problems")
    page.goto(failed)
    page.get_by_role("button", name="Leave out the failed file and seal").click()
    expect(page.get_by_text("It will hold 1 file")).to_be_visible()
    page.get_by_role("button", name="Leave out 1 file").click()
    expect(page.get_by_role("heading", name=f"{bucket}@1 available")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("without 1 file that failed")).to_be_visible()


def test_without_a_script(browser: Browser, application: LiveApplication, s3_server: S3Server, bucket: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    sign_in(page, application)
    fill_connection(page, application, s3_server, f"store-{bucket}")
    page.get_by_role("button", name="Check connection").click()
    expect(page.locator("#check-outcome")).to_contain_text("works")
    page.get_by_role("link", name="Import from here").click()
    page.get_by_role("button", name="Go").click()
    page.get_by_role("button", name=bucket, exact=True).click()
    page.get_by_role("button", name="2026", exact=True).click()
    page.get_by_label("Dataset", exact=True).fill(bucket)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("train/000.txt")).to_be_visible()
    page.get_by_role("button", name="Import", exact=True).click()
    # The page loads itself anew while files are on their way.
    expect(page.get_by_role("heading", name=f"{bucket}@1 available")).to_be_visible(timeout=WAIT)
    context.close()
