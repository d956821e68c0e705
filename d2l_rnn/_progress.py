"""A progress bar that leaves nothing behind."""

import os

from tqdm import tqdm


def progress(items, what, *, total=None):
    """Iterate over ``items`` under a bar that vanishes at the end.

    Short work shows no bar (it appears after half a second). Set the environment
    variable D2L_RNN_PROGRESS to 0 to see none, as the notebook tools do.
    """
    off = os.environ.get("D2L_RNN_PROGRESS") == "0"
    return tqdm(items, desc=what, total=total, leave=False, disable=off, delay=0.5)
