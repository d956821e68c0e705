"""What the tests of the notebook tools share, and those in a browser."""

import os
from xml.etree import ElementTree

import browsing

import kernels
import nbformat
import notebooks
import pytest
from xdist.scheduler import LoadScopeScheduling

os.environ.pop(kernels.SWITCH, None)  # a test says itself how it compares


def pytest_make_parametrize_id(val, argname):
    """Name no test by bytes: an archive's hold the time at which it was made.

    Workers that collect in different seconds would not agree on the tests.
    """
    return argname if isinstance(val, bytes) else None


class Scheduling(LoadScopeScheduling):
    """Hand out test by test, but a class as a whole: its tests share a fixture.

    The largest go first. The mark ``xdist_group`` would do, but has no effect with
    pytest 9.2: https://github.com/pytest-dev/pytest-xdist/issues/1386

    >>> split = object.__new__(Scheduling)._split_scope
    >>> split("tests/test_reading.py::TestPdf::test_fonts")
    'tests/test_reading.py::TestPdf'
    >>> split("tests/test_reading.py::test_search[a::b]")
    'tests/test_reading.py::test_search[a::b]'
    """

    def _split_scope(self, nodeid):
        names = nodeid.partition("[")[0].split("::")
        return "::".join(names[:2]) if len(names) == 3 else nodeid


def pytest_xdist_make_scheduler(config, log):
    """Return the scheduler of the tests in a browser; others keep their own."""
    if config.getoption("dist") == "loadgroup":
        return Scheduling(config, log)
    return None


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all pages."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browsing.CHROMIUM, args=browsing.ARGUMENTS
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address():
    """The address of a server of the book."""
    with browsing.serving() as address:
        yield address


@pytest.fixture
def page(browser):
    """A new page, as wide as a desk's."""
    page = browser.new_page(
        viewport=browsing.DESKTOP, locale="en-US", reduced_motion="reduce"
    )
    yield page
    page.close()


@pytest.fixture
def make_notebook(tmp_path):
    """Return a function that writes an unrun notebook of code cells."""

    def make(name, *sources):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    return make


@pytest.fixture
def strict_check(tmp_path, monkeypatch):
    """Return a function that checks notebooks as ``make test`` does.

    It returns the exit status and, for each notebook's name, what is wrong with
    its code cells: a message, or None, for each number.
    """

    def check(*paths, options=""):
        report = tmp_path / "report.xml"
        for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PYTEST_ADDOPTS", f"--junitxml={report} {options}")
        status = notebooks.check(paths, jobs=2)
        found = {path.stem: {} for path in paths}
        for case in ElementTree.parse(report).iter("testcase"):
            name = case.get("classname").split(".")[-2]
            bad = [part for part in case if part.tag in ("failure", "error", "skipped")]
            message = "\n".join(part.text or "" for part in bad)
            found[name][int(case.get("name").removeprefix("Cell "))] = message or None
        return status, found

    return check
