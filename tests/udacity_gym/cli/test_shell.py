"""The command in a shell: pipes, terminals, completion, and other people's packages."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from udacity_gym.cli import VERBS, main, make_parser
from udacity_gym.cli.options import COMMON_OPTIONS
from udacity_gym.installation import hidden_package, install_command

SHELL = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
COMMAND = f"{sys.executable} -m udacity_gym"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [environment.pop("PYTHONPATH", ""), *sys.path]))
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )


def test_the_bare_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out = capsys.readouterr().out
    assert out.startswith("usage: udacity-gym")
    for verb in VERBS:
        assert re.search(rf"^    {verb}\b", out, re.MULTILINE)


@pytest.mark.long
@SHELL
@pytest.mark.parametrize("reader", ["head -1", "head -c 1", "true"])
def test_a_reader_that_has_read_enough_ends_the_command_quietly(reader: str) -> None:
    long_help = f"for i in 1 2 3; do {COMMAND} train --help; done"
    for command in (f"{COMMAND} learners", long_help):
        done = shell(f"({command}) | {reader}")
        assert (done.returncode, done.stderr) == (0, "")


@SHELL
def test_a_verb_writes_no_bars_into_a_file_and_quiet_hides_them_everywhere(tmp_path: Path) -> None:
    record = f"{COMMAND} record {tmp_path}/drive --seconds 1"
    assert shell(record).stderr == ""
    assert main(["record", str(tmp_path / "other"), "--seconds", "0.5", "--quiet"]) == 0


@pytest.mark.parametrize("option", COMMON_OPTIONS)
@pytest.mark.parametrize("algorithm", ["bc", "thrifty_dagger"])
def test_the_settings_of_a_learner_leave_the_common_options(algorithm: str, option: str) -> None:
    pytest.importorskip("torch", reason='torch is not installed: pip install "udacity-gym[train]"')
    words = ["train", "laps", "--algorithm", algorithm, f"--{option}"]
    assert getattr(make_parser(words).parse_args(words), option)


@SHELL
@pytest.mark.parametrize("shell_name", ["bash", "zsh"])
def test_completion_knows_all_verbs(shell_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason='shtab is not installed: pip install "udacity-gym[completion]"')
    assert main(["completion", shell_name]) == 0
    script = capsys.readouterr().out
    for word in (*VERBS, "convert", "--video-format", "--incident-videos"):
        assert word in script


@SHELL
def test_completion_completes_in_bash() -> None:
    pytest.importorskip("shtab", reason='shtab is not installed: pip install "udacity-gym[completion]"')
    done = shell(
        f'eval "$({COMMAND} completion bash)"; COMP_WORDS=(udacity-gym eva); COMP_CWORD=1; '
        "_shtab_udacity_gym udacity-gym eva udacity-gym; echo ${COMPREPLY[@]}"
    )
    assert done.stdout.split() == ["evaluate"], done.stderr


def test_completion_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert install_command("completion") in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "pure_pursuti"],
        ["evaluate", "pure_pursuti", "--suite", "lake-v1"],
        ["drive", "pure_pursuti"],
        ["doctor", "--policy", "pure_pursuti"],
    ],
)
def test_a_mistyped_expert_is_answered_with_the_right_one(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if command[0] != "doctor":
        assert main(command) == 2
        message = capsys.readouterr().err
    else:
        assert main(command) == 1
        message = capsys.readouterr().out
    assert "did you mean 'pure_pursuit'? There are the experts pure_pursuit, " in message


FOREIGN = "def sort(values):\n    return sorted(values)\n"


@SHELL
@pytest.mark.parametrize("name", ["algorithms.py", "algorithms/__init__.py"])
@pytest.mark.parametrize(
    "command",
    ["train drive", "learners", "demo --recording drive", "evaluate policy", "export policy --output x.onnx"],
)
def test_a_package_of_the_same_name_is_named_in_the_error(tmp_path: Path, name: str, command: str) -> None:
    foreign = tmp_path / "student" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text(FOREIGN)
    assert main(["record", str(tmp_path / "drive"), "--seconds", "0.4"]) == 0
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.json").write_text("{}")
    done = shell(f"cd {tmp_path} && {COMMAND} {command}", PYTHONPATH=str(tmp_path / "student"))
    assert done.returncode == 2
    assert f"{foreign} hides the package algorithms of udacity-gym: give it another name" in done.stderr


@SHELL
def test_doctor_finds_a_package_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "algorithms.py").write_text(FOREIGN)
    done = shell(f"cd {tmp_path} && {COMMAND} doctor", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert re.search("^fail +algorithms +another package of this name is imported", done.stdout, re.MULTILINE)
    assert f"{tmp_path / 'algorithms.py'} hides the package" in done.stdout


@SHELL
def test_the_project_of_that_name_on_pypi_is_named_with_the_command_that_removes_it(tmp_path: Path) -> None:
    """It replaces files of ours: only some are left."""
    package = tmp_path / "algorithms"
    package.mkdir()
    (package / "__init__.py").write_text(FOREIGN)
    for left in ("base.py", "bc.py", "learners.py"):
        (package / left).touch()
    (tmp_path / "algorithms-0.1.4.dist-info").mkdir()
    (tmp_path / "algorithms-0.1.4.dist-info" / "METADATA").write_text("Name: algorithms\nVersion: 0.1.4\n")
    program = tmp_path / "program.py"
    program.write_text(
        "from udacity_gym.registry import Registry\n"
        "Registry('learner', {'bc': 'algorithms:BehavioralCloning'}, expected='a class').find('bc')\n"
    )
    done = shell(f"{sys.executable} {program}", PYTHONPATH=str(tmp_path))
    message = done.stderr.splitlines()[-1]
    assert "algorithms has no BehavioralCloning" in message
    assert f"{package / '__init__.py'} belongs to another project" in message
    assert "pip uninstall algorithms" in message


def test_our_own_package_is_no_problem() -> None:
    assert hidden_package() is None
    assert hidden_package("numpy.linalg") is None
