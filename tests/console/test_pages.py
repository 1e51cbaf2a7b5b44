"""The files of the console: small, kept for ever, from nowhere else, and allowed nothing that is not theirs."""

import gzip
import re

from penstock.console.pages import assets, pages
from penstock.wire.http import Request
from tests.console.conftest import KEYS, Serve

BUDGET_BYTES = 150_000


def test_all_files_together_are_small() -> None:
    assert sum(map(len, assets().values())) < BUDGET_BYTES


def test_no_literal_spans_lines() -> None:
    """Indentation is taken away from what browsers get."""
    for name, data in assets().items():
        for line in data.splitlines() if name.endswith(".js") else ():
            assert line.count(b"`") % 2 == 0, (name, line)


def test_no_file_names_another_host_or_makes_html_of_text() -> None:
    for name, data in assets().items():
        text = data.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.findall(r"https?://|@import|url\(", text), name
        dangerous = r"innerHTML\s*=|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
        assert not re.findall(dangerous, text), name


def test_every_module_that_is_imported_is_there() -> None:
    content = assets()
    for name, data in content.items():
        folder = name.rpartition("/")[0]
        for target in re.findall(r'(?:from |import\()"(\.[^"]+)"', data.decode()) if name.endswith(".js") else ():
            parts = folder.split("/") if folder else []
            for part in target.split("/"):
                if part == "..":
                    parts.pop()
                elif part != ".":
                    parts.append(part)
            assert "/".join(parts) in content, (name, target)


async def test_a_browser_at_the_root_lands_on_the_page(serve: Serve) -> None:
    http = (await serve()).http
    root = await http.get("/", headers={"accept": "text/html"})
    assert (root.status_code, root.headers["location"]) == (303, "/console/")
    assert (await http.get("/console")).headers["location"] == "/console/"
    page = await http.get("/console/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


async def test_the_page_allows_itself_nothing_but_its_own_files(serve: Serve) -> None:
    page = await (await serve()).http.get("/console/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (page.headers["x-content-type-options"], page.headers["x-frame-options"]) == ("nosniff", "DENY")
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not re.findall(r"<script(?![^>]*src=)|<style| on\w+=| style=", page.text)


async def test_files_are_kept_for_ever_and_the_page_is_asked_for_each_time(serve: Serve) -> None:
    http = (await serve()).http
    page = await http.get("/console/")
    assert page.headers["cache-control"] == "no-cache"
    again = await http.get("/console/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    found = re.findall(r'(?:href|src)="(static/[^"]+)"', page.text)
    assert len(found) > 10
    for target in found:
        file = await http.get(f"/console/{target}")
        assert file.status_code == 200
        assert "immutable" in file.headers["cache-control"]
        assert file.headers["content-encoding"] == "gzip"


async def test_the_first_page_loads_no_view_that_is_not_looked_at(serve: Serve) -> None:
    page = (await (await serve()).http.get("/console/")).text
    early = {each.rpartition("/")[2] for each in re.findall(r'modulepreload" href="([^"]+)"', page)}
    views = {name.removeprefix("views/") for name in assets() if name.startswith("views/")}
    assert {"app.js", "session.js", "api.js"} <= early
    assert early & views == {"overview.js"}


async def test_nobody_needs_a_key_for_the_files_and_everybody_for_the_figures(serve: Serve) -> None:
    http = (await serve(keys=KEYS)).http
    assert (await http.get("/console/")).status_code == 200
    for what in ("overview", "jobs?status=running", "nothing"):
        assert (await http.get(f"/console/api/{what}")).status_code == 401
    own = {"authorization": "Bearer ops:sesame"}
    assert (await http.get("/console/api/count?queue=x", headers=own)).status_code == 404
    stranger = {"authorization": "Bearer other:sesame"}
    assert (await http.get("/console/api/overview", headers=stranger)).status_code == 403


async def test_there_is_nothing_else_to_be_had(serve: Serve) -> None:
    http = (await serve()).http
    for path in (
        "/console/static/../pages.py",
        "/console/static/console.css",
        "/console/x",
        "/console/%2e%2e/pages.py",
    ):
        assert (await http.get(f"/console/{path}")).status_code == 404
    assert (await http.post("/console/")).status_code == 405
    assert (await http.post("/console/api/overview")).status_code == 405


async def test_a_browser_without_gzip_gets_files_as_they_are() -> None:
    everything = pages()
    (name,) = (each for each in everything if each.endswith("/app.js"))
    request = Request("GET", name, b"", {}, b"", "http", "0" * 12, "us-east-1", "r")
    plain = await everything[name](request)
    request.headers = {b"accept-encoding": b"gzip, br"}
    packed = await everything[name](request)
    assert isinstance(plain.body, bytes)
    assert isinstance(packed.body, bytes)
    assert gzip.decompress(packed.body) == plain.body == assets()["app.js"]
