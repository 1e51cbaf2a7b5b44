"""Makes a site of the files as they are: MkDocs calls this.

No document is written twice. Those outside of docs/ (README, CHANGELOG, the examples) join the site, links go between
pages as between files, and links to code, which is not part of the site, become plain text. What GitHub's Markdown has
and Python-Markdown lacks is put right: a list needs no empty line before it.
"""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from markdown import Extension, Markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
from reference import PAGES

ROOT = Path(__file__).resolve().parents[2]

SECTIONS = {
    "Start": ("index.md", "tutorial.md", "clients.md", "examples/README.md", "from-celery-rq-dramatiq.md"),
    "Understand": ("delivery.md", "ordering.md", "durability.md", "comparison.md", "glossary.md"),
    "Use": ("workers.md", "console.md", "testing.md", "sqs.md"),
    "Run": ("deploying.md", "redis.md", "postgresql.md", "metrics.md", "benchmarks.md"),
    "Reference": ("configuration.md", "reference/operations.md", "reference/errors.md", "cli.md", "features.md"),
    "Project": ("changelog.md", "architecture.md", "contributing.md", "security-policy.md", "decisions/README.md"),
}
"""Pages by section, in order. One that is nowhere here comes under "More": no document can be missing from the site."""

OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "docs/README.md": "index.md",
}
"""Address in the site by path in the repository, of what is not below docs/ or goes by another name there."""

FENCE = re.compile(r"^(`{3,}|~{3,})")
LIST_ITEM = re.compile(r"^(?:[-*] |\d+\. )")
LINK = re.compile(r"(!?)\[((?:`[^`]*`|\[[^\]]*\]|[^\[\]])*)\]\(([^()\s]+)\)")
CODE_IN_ROW = re.compile(r"(`+)(.+?)\1")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Indent as GitHub does."""
    config.markdown_extensions.append(TwoSpaces())  # type: ignore[arg-type]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in what is written elsewhere, and what the code writes of itself."""
    for path, address in OUTSIDE.items():
        if path != "docs/README.md" and (ROOT / path).exists():
            files.append(File.generated(config, address, content=(ROOT / path).read_text()))
    for path in sorted((ROOT / "examples").glob("**/README.md")):
        files.append(File.generated(config, str(path.relative_to(ROOT)), content=path.read_text()))
    for address, written in PAGES.items():
        files.append(File.generated(config, address, content=written()))
    config.nav = _navigation(files)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page's text with links that lead within the site, and lists that are seen as such."""
    return gently(linked(markdown, page.file.src_uri, files))


def linked(markdown: str, address: str, files: Files) -> str:
    """Return a text whose links between files of the repository are links between pages of the site."""
    here = posixpath.dirname(_path_of(address))

    def lead(found: re.Match[str]) -> str:
        is_picture, text, target = found.groups()
        path, hash_, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return found.group()
        leads_to = _address_of(posixpath.normpath(posixpath.join(here, path)))
        if files.get_file_from_path(leads_to) is None:
            if is_picture or not (ROOT / posixpath.join(here, path)).exists():
                return found.group()  # and MkDocs complains
            return text
        return f"{is_picture}[{text}]({posixpath.relpath(leads_to, posixpath.dirname(address) or '.')}{hash_}{anchor})"

    return "\n".join(block if is_code else LINK.sub(lead, block) for block, is_code in _blocks(markdown))


def gently(markdown: str) -> str:
    """Return a text in which Python-Markdown sees what GitHub's sees."""
    return "\n".join(block if is_code else _gently(block) for block, is_code in _blocks(markdown))


def _gently(text: str) -> str:
    out: list[str] = []
    for line in text.splitlines():
        before = out[-1] if out else ""
        if LIST_ITEM.match(line) and before.strip() and not LIST_ITEM.match(before) and not before.startswith(" "):
            out.append("")
        if line.startswith("|"):  # a bar in code needs to be escaped there, here it must not be
            line = CODE_IN_ROW.sub(lambda code: code.group().replace("\\|", "|"), line)
        out.append(line)
    return "\n".join(out)


def _blocks(markdown: str) -> list[tuple[str, bool]]:
    """Return the text in blocks of lines, each with whether it is code."""
    found: list[tuple[list[str], bool]] = []
    fence = ""
    for line in markdown.splitlines():
        mark = FENCE.match(line.strip())
        is_code = bool(fence or mark)
        if not found or found[-1][1] != is_code:
            found.append(([], is_code))
        found[-1][0].append(line)
        if not fence:
            fence = mark.group() if mark else ""
        elif mark and line.strip() == fence:
            fence = ""
    return [("\n".join(lines), is_code) for lines, is_code in found]


def _address_of(path: str) -> str:
    """Return where in the site a file of the repository would be."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    return path.removeprefix("docs/")


def _path_of(address: str) -> str:
    """Return the path in the repository of a page of the site."""
    for path, outside in OUTSIDE.items():
        if outside == address:
            return path
    return address if address.startswith("examples/") else f"docs/{address}"


def _navigation(files: Files) -> list[dict[str, Any]]:
    there = {file.src_uri for file in files.documentation_pages()}
    known = {address for addresses in SECTIONS.values() for address in addresses}
    sections = {title: [each for each in addresses if each in there] for title, addresses in SECTIONS.items()}
    for address in sorted(there - known):
        folder = address.partition("/")[0]
        home = {"decisions": "Project", "examples": "Start", "recovery": "Run"}.get(folder, "More")
        sections.setdefault(home, []).append(address)
    return [{title: addresses} for title, addresses in sections.items() if addresses]


class TwoSpaces(Extension):
    """Lists inside of lists are indented by two."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Tell the parser."""
        md.tab_length = 2
