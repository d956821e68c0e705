"""Every pytest run in this repository checks notebooks strictly, or not at all."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tools"))

pytest_plugins = ["nbval_strict"]
