"""The site of the documents: it builds without a warning, has all of them, and asks nobody else for anything."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.core.errors import error_types
from penstock.core.operations import operation_types

ROOT = Path(__file__).resolve().parent.parent
MOST_PICTURE_BYTES = 400_000

pytestmark = pytest.mark.xdist_group("site")  # it is built once


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def pages(site: Path) -> Iterator[tuple[str, str]]:
    """Yield the address and the text of each page."""
    for path in sorted(site.rglob("*.html")):
        yield str(path.relative_to(site)), path.read_text()


def test_every_document_is_a_page(site: Path) -> None:
    there = {address.removesuffix(".html") for address, _ in pages(site)}
    documents = {str(path.relative_to(ROOT / "docs")).removesuffix(".md") for path in (ROOT / "docs").rglob("*.md")}
    documents = {re.sub(r"README$", "index", each) for each in documents}
    others = {"changelog", "architecture", "contributing", "security-policy", "examples/index"}
    assert documents | others | {"reference/operations", "reference/errors"} <= there


def test_the_site_is_read_without_a_network(site: Path) -> None:
    asks = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^\s\"'>]+")
    wrong = [f"{address}: {found}" for address, text in pages(site) for found in asks.findall(text)]
    assert not wrong
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text()), sheet


def test_pages_look_as_on_a_forge(site: Path) -> None:
    wrong = []
    for address, text in pages(site):
        article = re.sub(
            r"<pre.*?</pre>", "", text.partition("<article")[2].partition("</article>")[0], flags=re.DOTALL
        )
        for paragraph in re.findall(r"<p>(.*?)</p>", article, re.DOTALL):
            if re.search(r"^\s*(?:[-*] |\d+\. |\|)", paragraph, re.MULTILINE):
                wrong.append(f"{address}: a list or table that is none: {paragraph[:80]}")
        wrong += [
            f"{address}: {cell}" for cell in re.findall(r"<td[^>]*>.*?</td>", article, re.DOTALL) if "\\|" in cell
        ]
        prose = re.sub(r"<code.*?</code>", "", article, flags=re.DOTALL)
        wrong += [f"{address}: no link: {found}" for found in re.findall(r".{0,40}\]\([^)]*\)", prose)]
        if "```" in article:
            wrong.append(f"{address}: code that is none")
    assert not wrong


def test_every_operation_and_every_error_is_in_the_reference(site: Path) -> None:
    told = dict(pages(site))
    for kind in operation_types():
        assert f'id="{kind.__name__.lower()}"' in told["reference/operations.html"], kind
    for code, kind in error_types().items():
        if kind.__module__.startswith("penstock.") and code != "sqs_error":
            assert f"<td><code>{code}</code></td>" in told["reference/errors.html"], code


def test_pictures_are_few_and_small() -> None:
    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".png", ".webp", ".jpg", ".svg")]
    assert sum(path.stat().st_size for path in pictures) <= MOST_PICTURE_BYTES
