"""Every link inside the documentation leads somewhere, and no page speaks of one person's machine."""

import re

import pytest

from tests.docs.markdown import ROOT, Page, all_pages, read

PAGES = {page.name: page for page in all_pages()}


def anchor(heading: str) -> str:
    """GitHub's anchor of a heading: lower case, punctuation dropped, spaces to hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def problem_of(page: Page, link: str) -> str | None:
    """What is wrong with a relative link, if anything."""
    target, _, fragment = link.partition("#")
    path = (page.path.parent / target).resolve() if target else page.path
    if not path.is_relative_to(ROOT) or not path.exists():
        return f"{link}: there is no such file."
    if fragment and fragment not in {anchor(heading) for heading in read(path).headings()}:
        return f"{link}: {path.name} has no heading #{fragment}."
    return None


@pytest.mark.parametrize("name", PAGES)
def test_relative_links_resolve(name: str) -> None:
    page = PAGES[name]
    relative = [link for link in page.links() if not re.match(r"[a-z]+:", link)]
    assert [problem for link in relative if (problem := problem_of(page, link))] == []


@pytest.mark.parametrize("name", PAGES)
def test_no_page_names_a_folder_of_one_machine(name: str) -> None:
    text = PAGES[name].path.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.])/(?:home|root|Users|work)/\S*", text) == []


def test_every_page_in_docs_is_reached_from_the_index() -> None:
    linked = {
        (PAGES["docs/README.md"].path.parent / link.partition("#")[0]).resolve()
        for page in ("docs/README.md", "docs/adr/README.md")
        for link in [f"{'adr/' if 'adr' in page else ''}{link}" for link in PAGES[page].links()]
    }
    wanted = {page.path for name, page in PAGES.items() if name.startswith("docs/") and name != "docs/README.md"}
    assert {path.relative_to(ROOT).as_posix() for path in wanted - linked} == set()


def test_the_readme_names_every_top_level_package() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    tree = "".join(PAGES["README.md"].blocks(""))
    assert {name for name in packages if f"{name}/" not in tree} == set()
