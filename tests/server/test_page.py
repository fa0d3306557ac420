"""The page over HTTP: what is sent, under which policy, and what its files may contain."""

import gzip
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from streamkeep.server.page import CONTENT_SECURITY_POLICY, HEADERS, page_files, router

PATHS = ["/", *(f"/page/{name}" for name in sorted(page_files()))]

SCRIPT_BUDGET = 60 * 1024
"""Bytes of all scripts, gzipped."""

MARKUP_SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|createContextualFragment|srcdoc"
    r"|\beval\b|new Function|setAttribute\(.on"
)


class Tags(HTMLParser):
    """Collects the start tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(router)
    with TestClient(app) as client:
        yield client


def source(name: str) -> str:
    return page_files()[name].content.decode()


def scripts() -> list[str]:
    return [name for name in page_files() if name.endswith(".js")]


@pytest.mark.parametrize("path", PATHS)
def test_each_file_is_sent_under_the_policy(client: TestClient, path: str) -> None:
    """Every reply carries the whole policy, and a type that the browser need not guess."""
    reply = client.get(path)

    assert reply.status_code == 200
    assert dict(HEADERS) == {name: reply.headers[name] for name in HEADERS}
    assert re.match(r"text/(html|css|javascript); charset=utf-8|image/svg\+xml", reply.headers["content-type"])


def test_the_policy_allows_only_the_page_itself() -> None:
    """Nothing inline, nothing evaluated, nothing from elsewhere, no frame, no markup from strings."""
    allowed = dict(part.strip().partition(" ")[::2] for part in CONTENT_SECURITY_POLICY.split(";"))

    assert {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    } == allowed


@pytest.mark.parametrize("path", PATHS)
def test_what_the_browser_has_is_not_sent_again(client: TestClient, path: str) -> None:
    """A known tag gets 304 without a body, also in a list or marked weak by a proxy."""
    etag = client.get(path).headers["etag"]

    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        reply = client.get(path, headers={"if-none-match": known})
        assert (304, b"", etag) == (reply.status_code, reply.content, reply.headers["etag"])


def test_another_tag_gets_the_file(client: TestClient) -> None:
    """After an upgrade the browser's tag is none of ours."""
    assert client.get("/", headers={"if-none-match": '"other"'}).content == page_files()["index.html"].content


def test_head_is_answered_like_get(client: TestClient) -> None:
    """Probes ask with HEAD."""
    asked, read = client.head("/"), client.get("/")

    assert (200, read.headers["etag"]) == (asked.status_code, asked.headers["etag"])


@pytest.mark.parametrize("name", ["nothing.js", "../page.py", "..%2fpage.py", "%2e%2e/page.py", ".", "index.html%00"])
def test_no_other_file_can_be_read(client: TestClient, name: str) -> None:
    """A name is looked up, never made into a path."""
    assert client.get(f"/page/{name}").status_code == 404


def test_the_page_is_no_part_of_the_api() -> None:
    """The OpenAPI document lists what programs call."""
    app = FastAPI()
    app.include_router(router)

    assert {} == app.openapi()["paths"]


def test_the_page_holds_nothing_that_its_policy_forbids() -> None:
    """No inline script, style or handler: the browser would refuse it."""
    tags = Tags(source("index.html")).found
    names = {name for _, attributes in tags for name in attributes}

    assert [] == [attributes for tag, attributes in tags if tag == "script" and "src" not in attributes]
    assert [] == [tag for tag, _ in tags if tag == "style"]
    assert set() == {name for name in names if name == "style" or name.startswith("on")}


def test_all_that_the_page_loads_is_there() -> None:
    """Scripts, styles, pictures and imported modules exist, by relative names: the page can be mounted anywhere."""
    loaded = [
        attributes.get("src") or attributes.get("href") or "" for _, attributes in Tags(source("index.html")).found
    ]
    named = {each for each in loaded if each and each != "docs"}
    imported = {f"page/{name}" for each in scripts() for name in re.findall(r'from "\./([^"]+)"', source(each))}

    assert {f"page/{name}" for name in page_files() if name != "index.html"} == named
    assert set() == imported - named


@pytest.mark.parametrize("name", sorted(page_files()))
def test_nothing_comes_from_elsewhere(name: str) -> None:
    """No file names another origin; the one address is the name of SVG's vocabulary."""
    addresses = set(re.findall(r"""(?:https?:)?//[a-z0-9][^\s"')]*""", source(name)))

    assert set() == {each for each in addresses if "." in each} - {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", scripts())
def test_text_is_set_as_text(name: str) -> None:
    """No script has a way to turn a model's words into markup or code."""
    assert [] == MARKUP_SINKS.findall(source(name))


def test_the_scripts_stay_small() -> None:
    """The first load is a fraction of a second on a slow line."""
    assert len(gzip.compress("".join(map(source, scripts())).encode())) <= SCRIPT_BUDGET
