"""Write the whole book as one PDF, ``_build/d2l-rnn.pdf``.

Usage: ``python tools/pdf.py [FILE]``. Chromium prints each page of the built book,
with its formulas, figures and unfolded solutions. The prints are joined behind a
cover and a table of contents; links between pages stay inside the file.
"""

import argparse
import html
import io
import shutil
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, Fit, NameObject, NullObject, TextStringObject

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
OUTPUT = ROOT / "_build" / "d2l-rnn.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: No sandbox, which a container may lack; no traffic of the browser's own.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

#: Pages are numbered through the book, from the number of pages before.
STYLE = """
@page {{ size: A4; margin: 18mm 18mm 20mm;
  @bottom-center {{ content: counter(page); font: 9pt sans-serif; color: #555; }} }}
html {{ counter-reset: page {before}; }}
"""

COVER = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><style>
@page {{ size: A4; margin: 0; }}
body {{ color: #222832; font-family: sans-serif; margin: 0; text-align: center; }}
img {{ margin-top: 60mm; width: 60mm; }}
h1 {{ font-size: 34pt; margin: 15mm 20mm 8mm; }}
p {{ font-size: 13pt; margin: 3mm 30mm; }}
</style><body><img src="_static/logo.svg" alt=""><h1>{title}</h1>
<p>Text under CC BY 4.0, code under the MIT license</p></body></html>"""

CONTENTS = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><style>
{style}
body {{ color: #222832; font: 11pt/1.5 sans-serif; }}
h2 {{ font-size: 12pt; margin: 5mm 0 1mm; }}
p {{ display: flex; margin: 0; }}
p span {{ border-bottom: 1px dotted #888; flex: 1; margin: 0 2mm 1.5mm; }}
a {{ color: inherit; text-decoration: none; }}
</style><body><h1>Contents</h1>{lines}</body></html>"""

#: The headings of a page: depth, text and the name of its place.
HEADINGS = """
() => [...document.querySelectorAll("article h1, article h2, article h3")].map(e => [
    +e.tagName[1],
    e.innerText.replace(/#$/, "").trim(),
    e.closest("section[id]")?.id,
])
"""

READY = """
() => document.readyState == "complete"
    && (!document.querySelector(".math") || window.MathJax?.startup?.promise)
"""


@dataclass
class Chapter:
    """A page of the book as it was printed, and its number in the whole."""

    part: str
    path: Path
    print: PdfReader = None
    headings: list = field(default_factory=list)
    start: int = 998  # as wide as any number

    @property
    def title(self):
        """The first heading, or the file's name before it was printed."""
        return self.headings[0][1] if self.headings else self.path.stem

    @cached_property
    def places(self):
        """The number of the page where each name is, and its height there."""
        number = self.print.get_destination_page_number
        return {
            name.removeprefix("/"): (self.start + number(found), found.top)
            for name, found in self.print.named_destinations.items()
        }

    def place(self, name):
        """Return where a name is: at the chapter's start if there is no such name."""
        return self.places.get(name, (self.start, None))


def find_browser():
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def chapters(root=ROOT):
    """Return the book's pages in order, unprinted."""
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    names = [("", toc["root"])]
    for part in toc["parts"]:
        names += [(part["caption"], page["file"]) for page in part["chapters"]]
    return [Chapter(part, HTML / f"{name}.html") for part, name in names]


def print_page(page):
    """Print what a browser's page shows."""
    data = page.pdf(prefer_css_page_size=True, print_background=True)
    return PdfReader(io.BytesIO(data))


def print_text(page, source):
    """Print a page that is given as HTML, as if it lay in the book's folder."""
    page.goto((HTML / "404.html").as_uri())
    page.set_content(f'<base href="{HTML.as_uri()}/">{source}', wait_until="load")
    return print_page(page)


def print_chapter(page, chapter, before):
    """Print a chapter with its formulas, numbered from the pages before it."""
    page.goto(chapter.path.as_uri())
    page.wait_for_function(READY)
    page.evaluate("() => window.MathJax?.startup?.promise.then(() => null)")
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    page.add_style_tag(content=STYLE.format(before=before))
    chapter.headings = page.evaluate(HEADINGS)
    chapter.print = print_page(page)
    chapter.start = before


def print_contents(page, book, before):
    """Print the table of contents."""
    lines, part = [], ""
    for chapter in book:
        if chapter.part != part:
            part = chapter.part
            lines.append(f"<h2>{html.escape(part)}</h2>")
        lines.append(
            f'<p><a href="{chapter.path.as_uri()}">{html.escape(chapter.title)}</a>'
            f"<span></span>{chapter.start + 1}</p>"
        )
    style = STYLE.format(before=before)
    return print_text(page, CONTENTS.format(style=style, lines="\n".join(lines)))


def make_pdf(page, title, book, report=print):
    """Print the chapters of a book and return a writer that holds them all."""
    cover = print_text(page, COVER.format(title=html.escape(title)))
    number = front = 1 + len(print_contents(page, book, 1).pages)
    for chapter in book:
        print_chapter(page, chapter, number)
        number += len(chapter.print.pages)
        report(f"{chapter.title}: {len(chapter.print.pages)} pages")
    contents = print_contents(page, book, 1)
    if 1 + len(contents.pages) != front:
        raise RuntimeError("the table of contents grew; its draft was too short")
    writer = PdfWriter()
    for printed in (cover, contents, *(chapter.print for chapter in book)):
        for sheet in printed.pages:
            writer.add_page(sheet)
    add_outline(writer, book)
    add_links(writer, contents, 1, book)
    for chapter in book:
        add_links(writer, chapter.print, chapter.start, book)
    writer.add_metadata({"/Title": title})
    writer.root_object[NameObject("/Lang")] = TextStringObject("en")
    writer.page_mode = "/UseOutlines"
    writer.compress_identical_objects(remove_duplicates=True, remove_unreferenced=True)
    return writer


def add_outline(writer, book):
    """Add parts, chapters and their sections to the outline."""
    writer.add_outline_item(title="Contents", page_number=1)
    parts = {}
    for chapter in book:
        if chapter.part and chapter.part not in parts:
            parts[chapter.part] = writer.add_outline_item(
                title=chapter.part, page_number=chapter.start
            )
        above = [parts.get(chapter.part)]
        for depth, text, name in chapter.headings:
            number, top = chapter.place(name if depth > 1 else None)
            parent = above[min(depth, len(above)) - 1]
            fit = Fit.xyz(top=top) if top is not None else Fit.fit()
            item = writer.add_outline_item(
                title=text, page_number=number, parent=parent, fit=fit
            )
            above = [*above[:depth], item]


def add_links(writer, printed, start, book):
    """Turn the links of a print that lead into the book into places of the file."""
    own = next((chapter for chapter in book if chapter.print is printed), None)
    files = {chapter.path: chapter for chapter in book}
    for number in range(start, start + len(printed.pages)):
        for reference in writer.pages[number].get("/Annots", ()):
            link = reference.get_object()
            if isinstance(link.get("/Dest"), str) and own:
                target = own.place(link["/Dest"].removeprefix("/"))
            else:
                address = urlsplit(link.get("/A", {}).get("/URI", ""))
                chapter = files.get(Path(unquote(address.path)))
                if address.scheme != "file" or chapter is None:
                    continue
                target = chapter.place(unquote(address.fragment))
                del link["/A"]
            sheet = writer.pages[target[0]].indirect_reference
            top = NullObject() if target[1] is None else target[1]
            link[NameObject("/Dest")] = ArrayObject(
                [sheet, NameObject("/XYZ"), NullObject(), top, NullObject()]
            )


def main():
    """Write the PDF; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the book as one PDF.")
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, default=OUTPUT)
    output = parser.parse_args().file
    browser = find_browser()
    if browser is None:
        print(
            "The PDF is printed by Chromium, and there is none here: install it, as "
            "in 'apt-get install chromium', or print single pages from any browser.",
            file=sys.stderr,
        )
        return 2
    if not (HTML / "index.html").is_file():
        print("There is no book to print yet: 'make book' builds it.", file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright

    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=ARGUMENTS)
        page = chromium.new_page(color_scheme="light")
        writer = make_pdf(page, config["title"], chapters())
        chromium.close()
    output.parent.mkdir(parents=True, exist_ok=True)
    writer.write(output)
    print(f"{output}: {len(writer.pages)} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
