"""A Sphinx extension: what a page says of itself, and where it can be run.

Nothing here needs to know where the book is published. Once
``repository.url`` in ``_config.yml`` names the sources, pages get links to
edit them, to report, and to run them on Colab and Binder; once
``html.baseurl`` names the place of the book, pages get a preview picture, and
the book a site map.
"""

import html
import re
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from docutils import nodes

#: Descriptions longer than this are cut by those who show them.
DESCRIPTION = 200

#: The colour of a browser's own frame, in light and dark: the theme's ground.
COLORS = {"light": "#ffffff", "dark": "#121212"}

NOSCRIPT_STYLE = """
<noscript><style>
  .article-header-buttons > button, .dropdown-download-buttons > button,
  .btn-download-pdf-button, .sidebar-toggle { display: none !important; }
  .dropdown-download-buttons .dropdown-menu {
    border: 0; display: block; min-width: 0; position: static;
  }
</style></noscript>
"""

NOSCRIPT = """
<noscript><p class="course-note"><strong>JavaScript is off.</strong> The text,
the code and all outputs are here, and solutions are unfolded. Formulas show
their TeX; search, copy buttons and live models need JavaScript. The
<a href="{home}">front page</a> leads to all chapters.</p></noscript>
"""

LAUNCH = """
<details class="course-launch">
<summary>Run this chapter on Colab or Binder</summary>
<p>The rocket above opens this notebook. On Binder everything is there. On
Colab, add this as the first cell, run it, and restart the session once when
it asks. It needs Python 3.10 to 3.12, and takes a minute.</p>
<div class="highlight"><pre tabindex="0">{setup}</pre></div>
<p>These are versions that <code>requirements.lock</code> pins, too.</p>
</details>
"""

#: What makes a notebook run on Colab, with NumPy as MXNet needs it.
COLAB_SETUP = """\
!git clone --depth 1 --branch {branch} {url} /content/course
%pip install --quiet mxnet==1.9.1 "numpy=={numpy}" "setuptools<81"
%pip install --quiet tqdm matplotlib safetensors scikit-learn
%pip install --quiet --no-deps --editable /content/course
%cd /content/course/{folder}"""


def show_buttons(app, config):
    """Have buttons that lead to the sources, if their place is known."""
    options = config.html_theme_options
    known = bool(options.get("repository_url"))
    for button in ("edit_page", "issues", "repository"):
        options[f"use_{button}_button"] = known
    if known:
        options["launch_buttons"] = {
            **options.get("launch_buttons", {}),
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        }
    config.html_additional_pages = {"404": "404.html"}


def describe(doctree, length=DESCRIPTION):
    """Return a page's first paragraph, cut behind a sentence if it is long."""
    paragraph = doctree and next(doctree.findall(nodes.paragraph), None)
    text = " ".join(paragraph.astext().split()) if paragraph else ""
    if len(text) <= length:
        return text
    sentences = re.match(rf".{{1,{length}}}[.?!](?= )", text)
    return (
        sentences[0] if sentences else f"{text[:length].rpartition(' ')[0]} …"
    )


def page_tags(title, description, *, name, address="", base=""):
    """Return the tags of a page's head that tell others what it is."""
    tags = [f'<meta name="description" content="{html.escape(description)}">']
    tags += [
        f'<meta name="theme-color" content="{color}" '
        f'media="(prefers-color-scheme: {mode})">'
        for mode, color in COLORS.items()
    ]
    properties = {
        "title": title,
        "description": description,
        "type": "website" if title == name else "article",
        "site_name": name,
        "locale": "en",
    }
    if base:  # relative addresses are not allowed here
        properties["url"] = base + address
        properties["image"] = f"{base}_static/preview.png"
        properties["image:width"], properties["image:height"] = "1200", "630"
        properties["image:alt"] = f"{name}, and a recurrent unit"
        card = "summary_large_image"
        tags.append(f'<meta name="twitter:card" content="{card}">')
    tags += [
        f'<meta property="og:{key}" content="{html.escape(value)}">'
        for key, value in properties.items()
    ]
    return "\n".join(tags)


def add_tags(app, pagename, templatename, context, doctree):
    """Describe a page in its head; say what is missing without JavaScript."""
    name = app.config.html_title
    home = app.config.root_doc
    title = doctree and next(doctree.findall(nodes.title), None)
    context["metatags"] = (
        context.get("metatags", "")
        + "\n"
        + page_tags(
            title.astext() if title else name,
            describe(doctree) or describe(app.env.get_doctree(home)),
            name=name,
            address=app.builder.get_target_uri(pagename),
            base=base_address(app),
        )
        + NOSCRIPT_STYLE
    )
    if doctree:
        context["body"] = (
            NOSCRIPT.format(home=app.builder.get_relative_uri(pagename, home))
            + context["body"]
        )


def add_launch(app, pagename, templatename, context, doctree):
    """Say under a notebook's title how it runs on Colab."""
    options = app.config.html_theme_options
    url = options.get("repository_url")
    source = app.env.doc2path(pagename, base=False) if doctree else ""
    if not url or not source.endswith(".ipynb"):
        return
    setup = COLAB_SETUP.format(
        url=url,
        branch=options.get("repository_branch") or "main",
        numpy=pinned_numpy(Path(app.srcdir) / "requirements.lock"),
        folder=Path(source).parent.as_posix(),
    )
    note = LAUNCH.format(setup=html.escape(setup))
    context["body"] = re.sub(
        "</h1>", lambda end: end[0] + note, context["body"], count=1
    )


def pinned_numpy(lock):
    """Return the version of NumPy, below 2, that the lock file pins."""
    return re.search(r"^numpy==(1\.[\d.]+)", lock.read_text("utf-8"), re.M)[1]


def base_address(app):
    """Return the address of the book with a slash at its end, or nothing."""
    base = app.config.html_baseurl
    return base and base.rstrip("/") + "/"


def add_contents(app, pagename, templatename, context, doctree):
    """Give the page for lost readers the chapters and the path of the book."""
    if pagename == "404":
        documents = app.env.toctree_includes.get(app.config.root_doc, [])
        numbers = app.env.toc_secnumbers
        context["chapters"] = [
            {
                "number": numbers.get(name, {}).get("", ""),
                "title": app.env.titles[name].astext(),
                "address": app.builder.get_target_uri(name),
            }
            for name in documents
        ]
        context["base"] = urlsplit(base_address(app)).path or "/"
        context["home"] = app.builder.get_target_uri(app.config.root_doc)


def write_sitemap(app, error):
    """List the pages for search engines, where the book's address is known."""
    base = base_address(app)
    if error or app.builder.format != "html" or not base:
        return
    found = sorted(app.env.found_docs)
    addresses = [base + app.builder.get_target_uri(name) for name in found]
    lines = [f"<url><loc>{escape(each)}</loc></url>" for each in addresses]
    (Path(app.outdir) / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        + "\n".join(lines)
        + "\n</urlset>\n",
        "utf-8",
    )


def setup(app):
    """Register with Sphinx."""
    app.add_js_file("reading.js")
    app.connect("config-inited", show_buttons)
    app.connect("html-page-context", add_tags)
    app.connect("html-page-context", add_launch)
    app.connect("html-page-context", add_contents)
    app.connect("build-finished", write_sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
