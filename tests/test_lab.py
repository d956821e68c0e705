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


def opened(url, seconds=20):
    """Open an address that the Lab may print a moment before it answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            return urlopen(url)
        except HTTPError:
            raise
        except URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_the_lab_opens_the_notebooks_with_a_token_and_asks_for_no_news(tmp_path):
    command = [sys.executable, lab.__file__, "--no-browser", "--ServerApp.port=0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr.readline, "")
        found = (re.search(r"http://127\.0\.0\.1:\d+/lab\?token=\w+", x) for x in lines)
        url = next(filter(None, found))[0]
        base, token = url.split("/lab?token=")
        with opened(url) as answer:
            page = answer.read().decode()
        assert "@jupyterlab/apputils-extension:announcements" in page
        with urlopen(f"{base}/api/contents?token={token}") as answer:
            names = {entry["name"] for entry in json.load(answer)["content"]}
        assert {"language_models", "recurrent", "gated"} <= names
        with urlopen(f"{base}/api/kernelspecs?token={token}") as answer:
            assert json.load(answer)["default"] == "python3"
        with pytest.raises(HTTPError, match="403") as refused:
            urlopen(f"{base}/api/contents")
        refused.value.close()
    finally:
        process.kill()
        process.communicate()
