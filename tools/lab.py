"""Open the notebooks in JupyterLab, on this machine and with pinned numerics.

Usage: ``python tools/lab.py [OPTION...]``; options are JupyterLab's own, such as
``--no-browser``. It begins in book/, asks no other host for anything and leaves
the settings of a JupyterLab of your own alone.
"""

import json
import os
import sys

from kernels import KERNEL_FOLDER, ROOT, kernel_environment, prepare_kernels

#: Changed notebooks are the reader's own, so nothing here keeps them in step with
#: git; what the Lab remembers of windows and kernels lies with what is built.
FOLDER = KERNEL_FOLDER / "lab"

ARGUMENTS = [
    "--ip=127.0.0.1",
    "--allow-root",  # as whom one is in a container; it takes a token all the same
    f"--ServerApp.root_dir={ROOT / 'book'}",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
    "--LanguageServerManager.autodetect=False",  # of Node and what else there is
]


def environment():
    """Return the variables of the Lab, which its kernels inherit."""
    return kernel_environment() | {
        "D2L_RNN_PROGRESS": "1",
        "JUPYTER_CONFIG_DIR": str(FOLDER / "config"),
        "JUPYTER_DATA_DIR": str(FOLDER / "data"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_RUNTIME_DIR": str(FOLDER / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(FOLDER / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(FOLDER / "workspaces"),
    }


def silence_announcements():
    """Have the Lab not ask whether it may fetch news."""
    path = FOLDER / "config" / "labconfig" / "page_config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    announcements = "@jupyterlab/apputils-extension:announcements"
    path.write_text(json.dumps({"disabledExtensions": {announcements: True}}), "utf-8")


def main():
    """Become JupyterLab."""
    prepare_kernels()
    silence_announcements()
    arguments = [sys.executable, "-m", "jupyterlab", *ARGUMENTS, *sys.argv[1:]]
    os.execve(sys.executable, arguments, environment())


if __name__ == "__main__":
    main()
