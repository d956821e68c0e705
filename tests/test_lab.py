"""tools/lab.py: JupyterLab with the notebooks' numerics, and for this machine."""

import json
import re
import subprocess
import sys
import time
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import kernels
import lab
import pytest


def test_kernels_of_the_lab_get_the_pins(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment = lab.environment()
    assert environment.items() >= kernels.PINS.items()
    assert environment["D2L_RNN_PROGRESS"] == "1"


def read(url, seconds=60):
    """Return a page of the Lab, which says its address before it listens there."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url) as answer:
                return answer.read().decode()
        except URLError as error:
            if isinstance(error, HTTPError) or time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_the_lab_opens_the_notebooks_with_a_token_and_asks_for_no_news():
    command = [sys.executable, lab.__file__, "--no-browser", "--ServerApp.port=0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr.readline, "")
        found = (re.search(r"http://127\.0\.0\.1:\d+/lab\?token=\w+", x) for x in lines)
        url = next(filter(None, found))[0]
        base, token = url.split("/lab?token=")
        page = read(url)
        assert "@jupyterlab/apputils-extension:announcements" in page
        listed = json.loads(read(f"{base}/api/contents?token={token}"))
        names = {entry["name"] for entry in listed["content"]}
        assert {"language_models", "recurrent", "gated"} <= names
        specs = json.loads(read(f"{base}/api/kernelspecs?token={token}"))
        assert specs["default"] == "python3"
        with pytest.raises(HTTPError, match="403") as refused:
            urlopen(f"{base}/api/contents")
        refused.value.close()
    finally:
        process.kill()
        process.communicate()
