"""`wf docs`: the documentation's pages on the terminal, or as HTML; needs no network.

The wheel has the pages in `pytest_wf/docs/`, a clone in `docs/`.
"""

from __future__ import annotations

import html
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from pytest_wf.cli.output import Json, columns, print_lines, user_errors
from pytest_wf.config.problems import nearest
from pytest_wf.errors import InputError, Problem
from pytest_wf.wire.files import write_atomic

app = typer.Typer()

_BEST = 5
#: Words that a search ignores.
_STOP = frozenset(
    "and are can did does for from has have how not that the was what where with".split()
)
_HTML = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1rem }}
pre, code {{ background: #8882; border-radius: 4px }} pre {{ padding: .8rem; overflow-x: auto }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
td, th {{ border: 1px solid #8886; padding: .2rem .5rem; text-align: left; vertical-align: top }}
</style></head><body><p><a href="{home}">pytest-wf</a></p>
{body}</body></html>
"""


class Page:
    """A page of the documentation."""

    def __init__(self, name: str, text: str) -> None:
        #: Its path in the documentation without `.md`, such as ``how-to/stop``.
        self.name = name
        self.text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
        self.title = self.text.partition("\n")[0].lstrip("# ")

    @cached_property
    def words(self) -> Counter[str]:
        """The words of its text, with the number of times that each occurs."""
        return Counter(_stems(self.text))

    @cached_property
    def title_words(self) -> frozenset[str]:
        """The words of its title and name."""
        return frozenset(_stems(f"{self.title} {self.name}"))

    @cached_property
    def heading_words(self) -> frozenset[str]:
        """The words of its headings."""
        return frozenset(_stems(" ".join(re.findall(r"^#+ (.*)$", self.text, re.MULTILINE))))


@app.command("docs")
def docs(
    page: Annotated[
        str, typer.Argument(metavar="PAGE", help="A page's name, such as failures or how-to/stop")
    ] = "",
    search: Annotated[
        str, typer.Option("--search", help="Find the pages that match these words best")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--html", help="Write all pages as HTML into this new folder")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a page of the documentation, find one, or list all; needs no network.

    Example: wf docs failures
    """
    with user_errors(as_json):
        pages = read_pages()
        if out is not None:
            _write_html(pages, out)
            print_lines([json.dumps({"path": str(out / "index.html")})] if as_json else [str(out)])
        elif page:
            found = _named(pages, page)
            facts = {"name": found.name, "title": found.title, "text": found.text}
            if as_json:
                print_lines([json.dumps(facts)])
            else:
                _show(found)
        else:
            listed = find_pages(pages, search) if search else pages
            _list(listed, as_json)


def read_pages() -> list[Page]:
    """Every page: the index first, then by name.

    Raises InputError if the installation has no documentation.
    """
    package = Path(__file__).parents[2]
    folders = (package / "docs", package.parent / "docs")
    folder = next((one for one in folders if (one / "index.md").is_file()), None)
    if folder is None:
        reason = "this installation has no documentation."
        raise InputError([Problem("wf docs", None, "", None, reason, "Install the wheel again.")])
    paths = sorted(folder.rglob("*.md"), key=lambda path: (path.name != "index.md", path))
    return [
        Page(path.relative_to(folder).with_suffix("").as_posix(), path.read_text(encoding="utf-8"))
        for path in paths
    ]


def find_pages(pages: Sequence[Page], question: str) -> list[Page]:
    """The pages that answer `question` best, best first."""
    asked = set(_stems(question))
    having = {word: sum(word in page.words for page in pages) for word in asked}
    mean = sum(page.words.total() for page in pages) / len(pages)

    def score(page: Page) -> float:
        """BM25 of the text, with a bonus for titles and headings."""
        usual = 1.2 * (0.25 + 0.75 * page.words.total() / mean)
        return sum(
            math.log(1 + len(pages) / having[word])
            * (n / (n + usual) + (word in page.title_words) + (word in page.heading_words) / 2)
            for word in asked
            if (n := page.words[word])
        )

    scores = {page.name: score(page) for page in pages}
    found = [page for page in pages if scores[page.name] and page.name != "index"]
    return sorted(found, key=lambda page: -scores[page.name])[:_BEST]


def _stems(text: str) -> Iterator[str]:
    """The words of a text, without English inflectional endings."""
    for word in re.findall(r"[a-z0-9]+", text.lower()):
        if len(word) > 2 and word not in _STOP:
            yield re.sub(r"(?<=[a-z]{3})(ing|ed|es|s|e)$", "", word)


def _named(pages: Sequence[Page], name: str) -> Page:
    name = name.removesuffix(".md").removeprefix("docs/")
    for page in pages:
        if name in (page.name, page.name.rpartition("/")[2]):
            return page
    near = nearest(name, [page.name for page in pages])
    remedy = f"{near}`wf docs` lists all pages, and `wf docs --search WORDS` finds one."
    raise InputError([Problem("wf docs", None, "PAGE", name, "no such page.", remedy)])


def _list(pages: Sequence[Page], as_json: bool) -> None:
    if as_json:
        print_lines([json.dumps([{"name": one.name, "title": one.title} for one in pages])])
        return
    width = max((len(page.name) for page in pages), default=0)
    print_lines(f"{page.name:<{width}}  {page.title}" for page in pages)
    print_lines(["`wf docs PAGE` prints a page."] if pages else ["no page has these words"])


def _show(page: Page) -> None:
    """Print a page: formatted on a terminal, otherwise as Markdown."""
    width = columns()
    if width is None:
        print_lines([page.text.rstrip("\n")])
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console(file=sys.stdout, width=min(width, 100)).print(Markdown(page.text, hyperlinks=False))


def _write_html(pages: Iterable[Page], folder: Path) -> None:
    from markdown_it import MarkdownIt

    if folder.exists() and any(folder.iterdir()):
        reason = "already exists, and is not empty."
        raise InputError([Problem(str(folder), None, "--html", None, reason, "Name a new folder.")])
    markdown = MarkdownIt("commonmark").enable("table")
    for page in pages:
        path = folder / f"{page.name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        body = re.sub(
            r'(href="(?!https?:)[^"#]*)\.md(?=["#])', r"\1.html", markdown.render(page.text)
        )
        body = re.sub(r"<(h[1-6])>(.*?)</\1>", _anchored, body)
        home = "../" * page.name.count("/") + "index.html"
        whole = _HTML.format(title=html.escape(page.title), home=home, body=body)
        write_atomic(str(path), whole.encode())


def _anchored(heading: re.Match[str]) -> str:
    """A heading with an anchor for links."""
    words = re.sub(r"[^\w\s-]", "", re.sub(r"<.*?>|&\w+;", "", heading[2]).lower()).strip()
    anchor = re.sub(r"[-\s]+", "-", words)
    return f'<{heading[1]} id="{anchor}">{heading[2]}</{heading[1]}>'
