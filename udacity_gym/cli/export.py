"""``udacity-gym export``: a policy as one file that drives without this package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from udacity_gym.cli.options import About
from udacity_gym.cli.outputs import check_writable
from udacity_gym.cli.shared import load_driver


@dataclass(frozen=True)
class Options:
    """Export a policy as ONNX or TorchScript, whole: image in, actions out.

    udacity-gym drive and evaluate take the ONNX file where they take a policy, without torch.
    """

    policy: Annotated[Path, About("folder of a policy or a training, or Keras file", positional=True)]
    output: Annotated[Path, About("the file: .onnx, or .pt for TorchScript")] = Path("policy.onnx")


def run(options: Options) -> int:
    """Export."""
    check_writable(options.output.parent, "--output")
    policy = load_driver(str(options.policy), "lake")

    from algorithms.policies.export import export

    exported = export(policy, options.output)
    print(f"{exported.path}: its actions differ from the policy's by {exported.difference:.1e} at most.")
    if exported.path.suffix == ".onnx":
        print(f"Let it drive:\n  udacity-gym evaluate {exported.path}")
    return 0
