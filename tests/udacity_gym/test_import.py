import subprocess
import sys

HEAVY = ("cv2", "matplotlib", "numba", "pandas", "pygame", "socketio", "torch")


def run(code: str) -> str:
    """Output of a fresh interpreter, whatever it says on either channel."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_import_is_light_and_silent():
    code = (
        "import sys, gymnasium; before = set(sys.modules); import udacity_gym; "
        f"print([m for m in {HEAVY!r} if m in set(sys.modules) - before])"
    )
    assert run(code).strip() == "[]"


def test_import_registers_the_environment():
    assert run("import gymnasium, udacity_gym; gymnasium.spec('UdacitySim-v0')") == ""


def test_a_second_import_does_not_register_again():
    assert run("import importlib, udacity_gym; importlib.reload(udacity_gym)") == ""


def test_the_environment_never_imports_torch():
    code = (
        "import sys, gymnasium; before = set(sys.modules); import udacity_gym; "
        "gymnasium.make('UdacitySim-v0', cameras=()).reset(seed=0); "
        "print([m for m in ('torch', 'algorithms', 'cv2', 'pandas') if m in set(sys.modules) - before])"
    )
    assert run(code).strip() == "[]"


def test_rooms_open_when_entered():
    code = (
        "import udacity_gym; print(udacity_gym.UdacityEnv.__name__, udacity_gym.experts.PurePursuit.__name__,"
        " udacity_gym.wrappers.SpeedControl.__name__, 'UdacityEnv' in dir(udacity_gym))"
    )
    assert run(code).split() == ["UdacityEnv", "PurePursuit", "SpeedControl", "True"]


def test_an_unknown_name_is_an_attribute_error():
    code = "import udacity_gym\ntry: udacity_gym.nonsense\nexcept AttributeError as error: print(error)"
    assert "nonsense" in run(code)
