"""Does the chapter on variants show that training again gives what is stored?"""

import json
import re
from pathlib import Path

GATED = Path(__file__).parents[1] / "book" / "gated"


def test_retrained_scores_are_the_stored_ones():
    chapter = json.loads((GATED / "lstm_variants.ipynb").read_text("utf-8"))
    [cell] = [cell for cell in chapter["cells"] if cell["id"] == "f2842da1"]
    [output] = cell["outputs"]
    lines = re.findall(
        r"^(\w+) +(\w+): (\S+), stored (\S+)$", "".join(output["text"]), re.M
    )
    assert len(lines) == 4
    results = json.loads((GATED / "results" / "lstm_variants.json").read_text("utf-8"))
    runs = {run["cell"]: run for run in results["runs"] if run["seed"] == 0}
    for name, key, again, stored in lines:
        assert again == stored == repr(runs[name][key])
