"""Set-up says plainly where it cannot work, and is skipped where nothing changed."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import bootstrap
import pytest

SOURCE = Path(bootstrap.__file__).read_text(encoding="utf-8")


def nothing_found(name):
    return None


def everything_found(name):
    return f"/usr/bin/{name}"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Point the module to a project of its own, and record what it would run."""
    names = {"VENV": ".venv", "LOCK": "requirements.lock", "PROJECT": "pyproject.toml"}
    names |= {"VENV_PYTHON": ".venv/bin/python", "STAMP": ".venv/setup.json"}
    monkeypatch.setattr(bootstrap, "ROOT", str(tmp_path))
    for name, path in names.items():
        monkeypatch.setattr(bootstrap, name, str(tmp_path / path))
    (tmp_path / "requirements.lock").write_text("numpy==1.26.4\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(bootstrap, "find_problem", lambda uv: None)
    monkeypatch.setattr(bootstrap, "library_note", lambda *machine: None)
    monkeypatch.setattr(bootstrap.shutil, "which", everything_found)
    ran = []

    def pretend(command):
        ran.append(command[1])
        if "venv" in command:
            (tmp_path / ".venv/bin").mkdir(parents=True)
            (tmp_path / ".venv/bin/python").touch()

    monkeypatch.setattr(bootstrap, "run", pretend)
    monkeypatch.setattr(bootstrap, "ran", ran, raising=False)
    return tmp_path


@pytest.mark.parametrize("version", [(3, 6), (3, 7), (3, 8), (3, 9)])
def test_older_pythons_understand_the_file(version):
    ast.parse(SOURCE, feature_version=version)


@pytest.mark.parametrize("minor", [10, 11, 12, 13])
def test_supported_pythons_pass(minor):
    assert bootstrap.python_problem((3, minor, 0)) is None


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 9, 2), (3, 14, 0)])
def test_other_pythons_are_named_with_a_remedy(version):
    problem = bootstrap.python_problem(version, which=nothing_found)
    assert "3.10 to 3.13" in problem
    assert ".".join(map(str, version)) in problem
    assert "make setup PYTHON=python3.11" in problem


def test_a_supported_python_that_is_there_is_proposed():
    only = {"python3.12": "/usr/bin/python3.12"}
    problem = bootstrap.python_problem((3, 9, 2), which=only.get)
    assert "'make setup PYTHON=python3.12' uses the one found here" in problem


def test_another_implementation_is_refused():
    assert "PyPy 3.10.1" in bootstrap.python_problem((3, 10, 1), "PyPy")


@pytest.mark.parametrize(
    "machine", [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64", "")]
)
def test_supported_platforms_pass(machine):
    assert bootstrap.platform_problem(*machine) is None


@pytest.mark.parametrize(
    ("machine", "named", "remedy"),
    [
        (("Windows", "AMD64", ""), "Windows AMD64", "WSL 2"),
        (("Darwin", "arm64", ""), "Darwin arm64", "Linux container"),
        (("Linux", "riscv64"), "Linux riscv64", "Linux container"),
        (("Linux", "x86_64", ""), "Linux x86_64 without glibc", "Debian"),
        (("FreeBSD", "amd64", ""), "FreeBSD amd64", "Linux container"),
    ],
)
def test_other_platforms_are_named_with_a_remedy(machine, named, remedy):
    problem = bootstrap.platform_problem(*machine)
    assert named in problem
    assert remedy in problem


def test_a_missing_venv_module_names_the_package():
    assert bootstrap.venv_problem((3, 11, 2)) is None
    problem = bootstrap.venv_problem((3, 11, 2), lambda name: name != "ensurepip")
    assert "no ensurepip" in problem
    assert "apt-get install python3-venv" in problem


def test_missing_libraries_are_noted():
    def load(name):
        if name == "libquadmath.so.0":
            raise OSError(name)

    assert bootstrap.library_note("Darwin", "x86_64", load) is None
    note = bootstrap.library_note("Linux", "x86_64", load)
    assert "without libquadmath.so.0 no notebook can run" in note
    assert "libquadmath0" in note


@pytest.mark.parametrize("fault", ["version_info = (3, 9, 2)", "platform = 'x'"])
def test_a_refusal_is_one_line_and_touches_nothing(tmp_path, fault):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "bootstrap.py").write_text(SOURCE, encoding="utf-8")
    program = (
        f"import sys, platform, runpy; sys.{fault}; "
        "platform.system = lambda: 'Windows'; "
        f"runpy.run_path({str(tools / 'bootstrap.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tools"]


def test_a_second_set_up_does_nothing(project):
    assert bootstrap.set_up() == "everything"
    assert bootstrap.ran == ["venv", "pip", "pip"]
    assert bootstrap.set_up() == "nothing"
    assert len(bootstrap.ran) == 3


@pytest.mark.parametrize(
    ("changed", "todo"),
    [("requirements.lock", "everything"), ("pyproject.toml", "package")],
)
def test_a_changed_file_is_noticed(project, changed, todo):
    bootstrap.set_up()
    (project / changed).write_text("changed\n")
    assert bootstrap.set_up() == todo
    assert bootstrap.set_up() == "nothing"


def test_another_python_makes_it_anew(project, monkeypatch):
    bootstrap.set_up()
    monkeypatch.setattr(bootstrap.platform, "python_version", lambda: "3.12.99")
    assert bootstrap.set_up() == "everything"


def test_an_interrupted_set_up_is_made_anew(project, monkeypatch, capsys):
    pretend = bootstrap.run

    def interrupt(command):
        pretend(command)
        if "sync" in command:
            raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "run", interrupt)
    assert bootstrap.main() == 1
    assert "begins it anew" in capsys.readouterr().err
    leftover = project / ".venv/leftover"
    leftover.touch()
    monkeypatch.setattr(bootstrap, "run", pretend)
    assert bootstrap.set_up() == "everything"
    assert not leftover.exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"lock": "old"})])
def test_a_damaged_stamp_means_everything(project, content):
    bootstrap.set_up()
    (project / ".venv/setup.json").write_text(content)
    assert bootstrap.set_up() == "everything"


def test_a_failed_command_is_named(capsys, monkeypatch):
    def fail():
        bootstrap.run([sys.executable, "-c", "raise SystemExit(3)"])

    monkeypatch.setattr(bootstrap, "set_up", fail)
    assert bootstrap.main() == 1
    assert "raise SystemExit(3)" in capsys.readouterr().err
