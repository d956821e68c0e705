"""Every ready environment is made from the same lock, for the same Python."""

import json
import re
import subprocess
import sys
from pathlib import Path

import audit
import newest
import pytest
import recipe
import yaml
from kernels import PINS
from licenses import locked

ROOT = Path(__file__).resolve().parent.parent


def read(name):
    return (ROOT / name).read_text("utf-8")


def workflow():
    return yaml.safe_load(read(".github/workflows/ci.yml"))


def test_all_name_the_same_python():
    default = re.search(r"^FROM python:(3\.\d+)-", read("Dockerfile"), re.M)[1]
    assert read(".binder/runtime.txt").strip() == f"python-{default}"
    jobs = workflow()["jobs"]
    for name in ("prove", "ahead"):
        steps = [step.get("with", {}) for step in jobs[name]["steps"]]
        assert [s["python-version"] for s in steps if "python-version" in s] == [
            default
        ]
    tested = {default, *jobs["pythons"]["strategy"]["matrix"]["python"]}
    span = re.search(
        r'requires-python = ">=3\.(\d+),<3\.(\d+)"', read("pyproject.toml")
    )
    low, high = map(int, span.groups())
    assert tested == {f"3.{minor}" for minor in range(low, high)}


def test_all_install_the_lock():
    assert read(".binder/requirements.txt").split() == ["-r", "../requirements.lock"]
    assert (ROOT / ".binder" / "../requirements.lock").is_file()
    steps = recipe.instructions(read("Dockerfile"))
    assert ("RUN", "make setup") in steps
    container = json.loads(read(".devcontainer/devcontainer.json"))
    assert container["build"]["dockerfile"] == "../Dockerfile"
    assert container["postCreateCommand"] == "make setup"
    commands = [
        step["run"]
        for job in workflow()["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    assert not [c for c in commands if re.search(r"pip install (?!uv$)", c)]
    assert "bash .ci/run" in commands


def test_all_install_the_libraries_that_mxnet_needs():
    for name in ("Dockerfile", ".binder/apt.txt", ".github/workflows/ci.yml"):
        assert {"libgomp1", "libquadmath0"} <= set(read(name).split()), name


def test_the_lock_says_everything_with_hashes():
    text = read("requirements.lock")
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]
    assert "://" not in text
    wanted = {
        re.split(r"[ =<>;#]", line)[0]
        for line in read("requirements.in").splitlines()
        if line and line[0] != "#"
    }
    assert wanted <= set(locked(text)) | {"setuptools"}


def test_the_recipe_stops_at_a_step_that_fails(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(recipe, "copy_files", lambda root, folder: None)
    steps = [
        ("FROM", "x"),
        ("RUN", "apt-get update && false"),
        ("COPY", ". ."),
        ("RUN", "touch one"),
        ("RUN", "false"),
        ("RUN", "touch two"),
    ]
    problem = recipe.follow(steps, tmp_path, apt=False)
    assert problem == "this step failed: RUN false"
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert "(RUN apt-get update && false)" in capfd.readouterr().out


def test_the_recipe_copies_what_git_knows(tmp_path):
    recipe.copy_files(ROOT, tmp_path)
    assert (tmp_path / "requirements.lock").is_file()
    assert (tmp_path / ".ci" / "run").stat().st_mode & 0o100
    assert not (tmp_path / ".venv").exists()
    assert not (tmp_path / "_build").exists()


@pytest.mark.parametrize(
    ("uv", "reachable", "said"),
    [(None, True, "needs uv"), ("uv", False, "no vulnerability database")],
)
def test_an_audit_that_cannot_be_is_skipped_plainly(
    uv, reachable, said, monkeypatch, capsys
):
    monkeypatch.setattr(audit.shutil, "which", lambda name: uv)
    monkeypatch.setattr(audit, "reachable", lambda: reachable)
    assert audit.main() == 0
    output = capsys.readouterr().out
    assert output.startswith("Skipped: ")
    assert said in output


def run_audit(monkeypatch, output, status=0):
    """Return the exit status and the command, where pip-audit prints ``output``."""
    commands = []

    def fake(command, **options):
        commands.append(command)
        return subprocess.CompletedProcess(command, status, output, "its own words")

    monkeypatch.setattr(audit.shutil, "which", lambda name: "uv")
    monkeypatch.setattr(audit, "reachable", lambda: True)
    monkeypatch.setattr(audit.subprocess, "run", fake)
    return audit.main(), commands[0]


SAFE = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "not found"}
HOLED = {"name": "c", "version": "2", "vulns": [{"id": "X-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        ([SAFE], 0, "1 of 1 packages were looked up; 0 known"),
        ([SAFE, UNKNOWN], 0, "1 of 2 packages were looked up"),
        ([UNKNOWN, UNKNOWN], 0, "Skipped: the database knows none of the packages"),
        ([SAFE, HOLED], 1, "c 2: X-1, mended in 3"),
    ],
)
def test_an_audit_tells_what_it_found(found, status, said, monkeypatch, capsys):
    output = json.dumps({"dependencies": found})
    monkeypatch.setattr(audit, "ACCEPTED", {"X-0": "a reason"})
    result, command = run_audit(monkeypatch, output)
    assert result == status
    assert said in capsys.readouterr().out
    assert command[-1] == "--ignore-vuln=X-0"
    assert str(ROOT / "requirements.lock") in command


def test_an_audit_that_fails_is_no_success(monkeypatch, capsys):
    assert run_audit(monkeypatch, "no JSON", 1)[0] == 2
    assert "its own words" in capsys.readouterr().err


def test_nothing_is_reachable_where_nothing_listens():
    assert not audit.reachable(("127.0.0.1", 9), seconds=1)


def test_newest_needs_uv(monkeypatch, capsys):
    monkeypatch.setattr(newest.shutil, "which", lambda name: None)
    assert newest.main() == 2
    assert "needs uv" in capsys.readouterr().err


def look_ahead(monkeypatch, folder, resolved, fails=None):
    """Return the status of a look ahead that resolves these, and its commands."""
    commands = []

    def fake(command, cwd, **options):
        commands.append(command)
        if "compile" in command:
            output = Path(command[command.index("--output-file") + 1])
            output.write_text(resolved, "utf-8")
        return 3 if fails in command else 0

    monkeypatch.setattr(newest.shutil, "which", lambda name: "uv")
    monkeypatch.setattr(newest, "FOLDER", folder)
    monkeypatch.setattr(newest.subprocess, "call", fake)
    monkeypatch.setattr(newest.sys, "argv", ["newest.py"])
    return newest.main(), commands


def test_newest_finds_nothing_newer_in_what_is_locked(tmp_path, monkeypatch, capsys):
    pins = locked(read("requirements.lock"))
    resolved = "".join(f"{name}=={version}\n" for name, version in pins.items())
    status, commands = look_ahead(monkeypatch, tmp_path, resolved)
    assert status == 0
    assert capsys.readouterr().out == "0 packages differ from the lock.\n"
    look_ahead(monkeypatch, tmp_path, resolved + "new==1\n    # via mxnet\n")
    assert capsys.readouterr().out.startswith("new: not locked -> 1\n1 packages")
    for command in commands[:2]:  # resolved for the Python that is then used
        assert command[command.index("--python") + 1] == sys.executable
    python = str(tmp_path / "venv" / "bin" / "python")
    assert all(python in command for command in commands[2:])
    assert commands[-1][1:] == ["tools/check.py", "lint", "unit", "structure", "book"]


@pytest.mark.parametrize(
    ("fails", "status", "called"),
    [("compile", 1, 1), ("sync", 1, 3), ("--editable", 1, 4), ("tools/check.py", 3, 5)],
)
def test_newest_fails_with_any_of_its_steps(
    fails, status, called, tmp_path, monkeypatch
):
    result, commands = look_ahead(monkeypatch, tmp_path, "", fails)
    assert result == status
    assert len(commands) == called


#: What hub/config.yaml may say, copied by hand from values of earlier versions of the
#: chart "Zero to JupyterHub". Below hub.config stand JupyterHub's own classes.
HUB_KEYS = """
hub.config.JupyterHub.authenticator_class hub.config.Authenticator.admin_users
hub.config.Authenticator.allow_all hub.activeServerLimit hub.concurrentSpawnLimit
singleuser.image.name singleuser.image.tag singleuser.defaultUrl
singleuser.startTimeout singleuser.memory.guarantee singleuser.memory.limit
singleuser.cpu.guarantee singleuser.cpu.limit singleuser.storage.capacity
cull.enabled cull.timeout cull.every cull.maxAge scheduling.userScheduler.enabled
scheduling.podPriority.enabled scheduling.userPlaceholder.enabled
scheduling.userPlaceholder.replicas prePuller.hook.enabled
prePuller.continuous.enabled
""".split()


def leaves(node, path=()):
    """Yield the dotted path and the value of each leaf of a tree of dicts."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


def test_the_hub_is_configured_for_this_course():
    found = dict(leaves(yaml.safe_load(read("hub/config.yaml"))))
    names = {name for name in found if not name.startswith("singleuser.extraEnv.")}
    assert names <= set(HUB_KEYS)
    version = re.search(r'^version = "(.+)"', read("pyproject.toml"), re.M)[1]
    assert found["singleuser.image.tag"] == version
    image = found["singleuser.image.name"]
    assert f"--image-name {image}:{version} ." in read("hub/README.md")
    environment = {
        name.rpartition(".")[2]: value
        for name, value in found.items()
        if name not in names
    }
    assert environment == {"OMP_NUM_THREADS": PINS["OMP_NUM_THREADS"]}
    page = found["singleuser.defaultUrl"].removeprefix("/lab/tree/")
    assert (ROOT / page).is_file()


def test_the_hub_guarantees_the_memory_that_was_measured():
    found = dict(leaves(yaml.safe_load(read("hub/config.yaml"))))
    units = {"M": 1, "G": 1000}
    guarantee, limit = (
        int(value[:-1]) * units[value[-1]]
        for value in (
            found["singleuser.memory.guarantee"],
            found["singleuser.memory.limit"],
        )
    )
    measured = json.loads(read("book/measured/results/scaling_out.json"))["megabytes"]
    assert measured["server"] + measured["kernel"] <= guarantee
    assert measured["server"] + 3 * measured["kernel"] <= limit
