"""The documentation, read as its reader sees it: headings, code spans, links and code blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Page:
    """One Markdown file, parsed."""

    path: Path
    tokens: list[Token]

    @property
    def name(self) -> str:
        """The path from the repository's root."""
        return self.path.relative_to(ROOT).as_posix()

    def inline(self) -> Iterator[Token]:
        """Every piece of text, code span and link, in order."""
        for token in self.tokens:
            yield from token.children or []

    def code_spans(self) -> set[str]:
        """What stands between single backticks anywhere on the page."""
        return {token.content for token in self.inline() if token.type == "code_inline"}

    def headings(self) -> list[str]:
        """The headings' text without backticks."""
        return [
            "".join(child.content for child in self.tokens[index + 1].children or [])
            for index, token in enumerate(self.tokens)
            if token.type == "heading_open"
        ]

    def links(self) -> list[str]:
        """The targets of links and images."""
        return [
            str(token.attrGet("href") or token.attrGet("src") or "")
            for token in self.inline()
            if token.type in {"link_open", "image"}
        ]

    def section(self, heading: str) -> str:
        """Everything below a heading, as written, up to the next heading; empty where there is no such heading."""
        starts = [token for token in self.tokens if token.type == "heading_open"]
        for token, title in zip(starts, self.headings(), strict=True):
            if title == heading and token.map:
                later = [other.map[0] for other in starts if other.map and other.map[0] > token.map[0]]
                lines = self.path.read_text(encoding="utf-8").splitlines()
                return "\n".join(lines[token.map[1] : min(later, default=len(lines))])
        return ""

    def rows(self) -> Iterator[list[str]]:
        """Each table row that starts with code: that code, then the other cells' Markdown."""
        cells: list[Token] = []
        for index, token in enumerate(self.tokens):
            if token.type == "tr_open":
                cells = []
            elif token.type == "td_open":
                cells.append(self.tokens[index + 1])
            elif token.type == "tr_close" and cells and (first := cells[0].children) and first[0].type == "code_inline":
                yield [first[0].content, *(cell.content for cell in cells[1:])]

    def blocks(self, language: str) -> list[str]:
        """The fenced code blocks of a language."""
        return [token.content for token in self.tokens if token.type == "fence" and token.info == language]


def read(path: Path) -> Page:
    """Parse one Markdown file."""
    return Page(path, MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8")))


def all_pages() -> list[Page]:
    """Every Markdown file that belongs to the project."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
    return [read(path) for path in sorted(paths)]
