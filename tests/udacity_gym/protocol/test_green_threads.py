"""The environment in programs whose threads eventlet or gevent have replaced."""

import os
import subprocess
import sys

import pytest
from unity_like import UnityLike
from wire_tools import PATIENCE, PATIENT, free_port

PROGRAM = """
import warnings
warnings.simplefilter("ignore")  # eventlet says that it is deprecated
{patch}
import gymnasium, numpy, udacity_gym
settings = dict(port={port}, ctrl_dt=1e-6, simulator_options={options})
env = gymnasium.make("UdacitySim-v0", simulator="remote", **settings)
env.reset()
for step in range(60):
    observation, _, _, _, info = env.step(numpy.array([0.1, 0.5], dtype=numpy.float32))
assert observation.shape == (160, 320, 3)
env.close()
print(f"drove at steering {{info['steering']:.1f}}")
"""
PATCHES = {
    "eventlet": "import eventlet; eventlet.monkey_patch()",
    "gevent": "from gevent import monkey; monkey.patch_all()",
}


@pytest.mark.parametrize("library", PATCHES)
def test_a_patched_program_drives(library):
    pytest.importorskip(library, reason=f"{library} is not installed")
    port = free_port()
    program = PROGRAM.format(patch=PATCHES[library], port=port, options=PATIENT)
    with UnityLike(port, fps=60) as unity:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        assert done.returncode == 0, done.stderr
        assert "drove at steering 0.1" in done.stdout
        assert unity.commands
