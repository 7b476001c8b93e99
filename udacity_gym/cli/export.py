"""``udacity-gym export``: write a policy to one file that runs without this package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from udacity_gym.cli.options import About
from udacity_gym.cli.outputs import check_writable
from udacity_gym.cli.shared import load_driver


@dataclass(frozen=True)
class Options:
    """Export a policy to ONNX or TorchScript, preprocessing included.

    The inputs of the file are images of the cameras, the outputs are actions. udacity-gym drive and evaluate
    accept the ONNX file as a policy, and need no torch for it.
    """

    policy: Annotated[Path, About("folder of a policy or a training, or Keras file", positional=True)]
    output: Annotated[Path, About("output file: .onnx, or .pt for TorchScript")] = Path("policy.onnx")


def run(options: Options) -> int:
    """Export."""
    check_writable(options.output.parent, "--output")
    policy = load_driver(str(options.policy), "lake")

    from algorithms.policies.export import export

    exported = export(policy, options.output)
    print(
        f"{exported.path}: its actions differ from those of the policy by at most {exported.difference:.1e}."
    )
    if exported.path.suffix == ".onnx":
        print(f"Evaluate it:\n  udacity-gym evaluate {exported.path}")
    return 0
