"""Look the locked packages up in a database of known vulnerabilities.

Usage: ``python tools/audit.py``, which is what ``make audit`` runs. pip-audit does
the work, run by uv in an environment of its own. Where there is no uv, or no database
that knows the packages, this says so and exits 0; a known vulnerability exits 1.
"""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = "pip-audit==2.9.0"
DATABASE = ("api.osv.dev", 443)

#: Known, judged, and without a fix for this course: identifier and reason.
ACCEPTED = {}


def reachable(address=DATABASE, seconds=5):
    """Say whether a connection can be made."""
    try:
        socket.create_connection(address, timeout=seconds).close()
    except OSError:
        return False
    return True


def command(uv):
    """Return the call of pip-audit, which trusts the lock and resolves nothing."""
    lock = str(ROOT / "requirements.lock")
    audit = [uv, "tool", "run", "--from", TOOL, "pip-audit"]
    audit += ["--disable-pip", "--require-hashes", "--requirement", lock]
    audit += ["--format=json", "--progress-spinner=off", "--vulnerability-service=osv"]
    return audit + [f"--ignore-vuln={name}" for name in ACCEPTED]


def report(found):
    """Return the lines that tell what pip-audit found, and the exit status."""
    audited = [entry for entry in found if "skip_reason" not in entry]
    if not audited:
        reason = found[0]["skip_reason"] if found else "there are no packages"
        return [f"Skipped: the database knows none of the packages ({reason})."], 0
    lines = [
        f"{entry['name']} {entry['version']}: {vuln['id']}, mended in "
        f"{', '.join(vuln['fix_versions']) or 'no version yet'}"
        for entry in audited
        for vuln in entry["vulns"]
    ]
    total = f"{len(audited)} of {len(found)} packages were looked up"
    return [*lines, f"{total}; {len(lines)} known vulnerabilities."], int(bool(lines))


def main():
    """Audit, or say why not; return the exit status."""
    uv = shutil.which("uv")
    if uv is None:
        print("Skipped: 'make audit' needs uv, which runs pip-audit.")
        return 0
    if not reachable():
        print(f"Skipped: no vulnerability database can be reached ({DATABASE[0]}).")
        return 0
    done = subprocess.run(command(uv), cwd=ROOT, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"pip-audit failed:\n{done.stderr}", file=sys.stderr)
        return 2
    lines, status = report(found)
    print(*lines, sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
