"""Policies, recordings and the environment on the Hugging Face Hub. Needs the extra ``hub``.

A policy on the Hub is its folder with a model card. A recording is a data set in LeRobot's or Hugging Face's
format with a data-set card. The environment is a repository of LeRobot's EnvHub, see `udacity_gym.lerobot`.
Policies are never pickled, and loading one never runs code from the Hub. Where files go, and the token that
uploads need, are settings of huggingface_hub: ``hf auth login``, ``HF_TOKEN``, ``HF_HOME``, ``HF_ENDPOINT``.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from udacity_gym.errors import CheckpointError, OptionError, UdacityGymError
from udacity_gym.files import find_policy
from udacity_gym.installation import require
from udacity_gym.text import count

if TYPE_CHECKING:
    from udacity_gym.recording import Recording

CARD = "README.md"
POLICY_FILES = ("*.json", "*.safetensors", "*.onnx", "member-*/*.json", "member-*/*.safetensors")
"""What is downloaded of the repository of a policy."""
TAGS = ("udacity-gym", "gymnasium", "self-driving-car", "imitation-learning")


class HubError(UdacityGymError, RuntimeError):
    """The Hub can't be reached, or refuses what was asked."""


def push_policy(
    folder: str | Path, repository: str, *, private: bool = False, results: str | None = None
) -> str:
    """Upload a policy with a model card.

    Args:
        folder: its checkpoint, the folder of its training, or "pretrained:lake" and the like.
        repository: "user/name"; it is created if it does not exist.
        private: whether a new repository is private.
        results: results for the card, as text; None keeps a card that is in the folder.

    Returns:
        The URL of the repository. ``load_policy("hf:user/name")`` loads the policy from there.

    Raises:
        CheckpointError: There is no policy in the folder.
        MissingDependencyError: huggingface_hub is not installed.
        HubError: The upload failed.
    """
    from udacity_gym.driving.loading import policy_path

    source = find_policy(policy_path(folder))
    if not (source / "policy.json").is_file():
        raise CheckpointError(f"there is no policy to upload in {folder}: it has no policy.json")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "policy"
        shutil.copytree(source, copy)
        if results is not None or not (copy / CARD).is_file():
            (copy / CARD).write_text(policy_card(source, repository, results), encoding="utf-8")
        return _upload(copy, repository, "model", private)


def download_policy(name: str) -> Path:
    """Download a policy, at the first use only.

    Args:
        name: "user/name", or "user/name@revision" for a branch, a tag or a commit.

    Returns:
        The folder of the checkpoint, in the cache of huggingface_hub.

    Raises:
        CheckpointError: There is no such repository, or no policy in it.
        MissingDependencyError: huggingface_hub is not installed.
        HubError: The download failed.
    """
    hub = require("huggingface_hub", f"loading hf:{name}")
    repository, _, revision = name.partition("@")
    errors = require("huggingface_hub.errors", "the Hub")
    with _hub_errors(f"hf:{name} can't be downloaded"):
        try:
            folder = hub.snapshot_download(
                repository, revision=revision or None, allow_patterns=list(POLICY_FILES)
            )
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            raise CheckpointError(
                f"the Hub has no policy hf:{name}, or it is private: {_first_line(error)}"
            ) from error
    files = sorted(Path(folder).glob("*.onnx"))
    if not (Path(folder) / "policy.json").is_file() and not files:
        raise CheckpointError(
            f"hf:{name} is no policy of udacity-gym: it has neither policy.json nor an ONNX file"
        )
    return Path(folder) if (Path(folder) / "policy.json").is_file() else files[0]


def push_recording(
    recording: Recording,
    repository: str,
    *,
    format: Literal["lerobot", "huggingface"] = "lerobot",
    private: bool = False,
) -> str:
    """Upload a recording as a data set with a data-set card.

    Args:
        recording: the recording, with its edits.
        repository: "user/name"; it is created if it does not exist.
        format: format of the data set, see `udacity_gym.recording.convert`.
        private: whether a new repository is private.

    Returns:
        The URL of the repository.

    Raises:
        MissingDependencyError: huggingface_hub or a package of the format is not installed.
        HubError: The upload failed.
    """
    from udacity_gym.recording import convert

    if format not in ("lerobot", "huggingface"):
        raise OptionError(f"format={format!r} must be 'lerobot' or 'huggingface'")
    with tempfile.TemporaryDirectory() as scratch:
        folder = convert.save(recording, Path(scratch) / "data", format)
        (folder / CARD).write_text(recording_card(recording, repository, format), encoding="utf-8")
        return _upload(folder, repository, "dataset", private)


def push_env(repository: str, *, private: bool = False) -> str:
    """Upload the environment as a repository of LeRobot's EnvHub.

    Its users then write ``lerobot.envs.factory.make_env("user/name", trust_remote_code=True)``.

    Args:
        repository: "user/name"; it is created if it does not exist.
        private: whether a new repository is private.

    Returns:
        The URL of the repository.

    Raises:
        MissingDependencyError: huggingface_hub is not installed.
        HubError: The upload failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "env.py").write_text(ENV_FILE, encoding="utf-8")
        (folder / "requirements.txt").write_text("udacity-gym\n", encoding="utf-8")
        (folder / CARD).write_text(_env_card(repository), encoding="utf-8")
        return _upload(folder, repository, "model", private)


ENV_FILE = '''"""Udacity's self-driving-car simulator for LeRobot: pip install udacity-gym."""

from udacity_gym.lerobot import make_env

__all__ = ["make_env"]
'''
"""The file that LeRobot's EnvHub runs."""


def policy_card(
    folder: str | Path, name: str, results: str | None = None, facts: Mapping[str, str] | None = None
) -> str:
    """The model card of a policy, Markdown with the metadata of the Hub.

    Args:
        folder: folder of the checkpoint.
        name: name that ``load_policy`` takes, such as "pretrained:lake", or a repository.
        results: results of an evaluation, as text.
        facts: facts about the training by name, such as its data.
    """
    description = json.loads((Path(folder) / "policy.json").read_text(encoding="utf-8"))
    training = description.get("training") or {}
    kind, _, track = name.partition("pretrained:")
    load = f"hf:{name}" if kind else name
    drive = load if kind or track == "lake" else f"{load} --track {track}"
    sections = [
        _metadata(library_name="udacity-gym", pipeline_tag="robotics", license="mit", tags=TAGS),
        f"# {name}\n\nA driving policy for Udacity's self-driving-car simulator.",
        "```python\n"
        "from udacity_gym.driving import load_policy\n\n"
        f'policy = load_policy("{load}")  # policy.predict(image) -> action, state\n'
        "```\n\n"
        f"```sh\nudacity-gym drive {drive}\n```",
        f"## What it does\n\n{_list(_inputs_and_outputs(description))}",
    ]
    if training or facts:
        sections.append(f"## How it was trained\n\n{_training(training, facts or {})}")
    if results:
        sections.append(f"## Results\n\n```text\n{results.strip()}\n```")
    sections.append(
        "## Limits\n\nIt has learned from images of a simulator. It is no policy for a real car. In other "
        "weather, at other times of day and on other tracks it can leave the road: evaluate it there."
    )
    return "\n\n".join(sections) + "\n"


def recording_card(recording: Recording, name: str, format: str) -> str:
    """The data-set card of a recording, Markdown with the metadata of the Hub."""
    cameras = ", ".join(recording.cameras)
    minutes = sum(float(episode.time[-1]) for episode in recording.episodes if len(episode)) / 60
    task = {"task_categories": ("robotics",)}
    configs = (
        '\nconfigs:\n- config_name: default\n  data_files: "*.parquet"' if format == "huggingface" else ""
    )
    tags = (*TAGS, "LeRobot") if format == "lerobot" else TAGS
    head = _metadata(license="mit", tags=tags, **task).removesuffix("\n---") + f"{configs}\n---"
    use = (
        f'from lerobot.datasets.lerobot_dataset import LeRobotDataset\n\ndata = LeRobotDataset("{name}")'
        if format == "lerobot"
        else f'import datasets\n\ndata = datasets.load_dataset("{name}")'
    )
    facts = {
        "Frames": f"{len(recording)} in {count(len(recording.episodes), 'episode')}, {minutes:.1f} minutes",
        "Cameras": cameras,
        "Steering": "[-1, 1] share of full lock, positive turns right",
        "Throttle and brake": "[0, 1]",
        "Speed": "m/s",
    }
    return (
        f"{head}\n\n# {name}\n\nA recording of driving in Udacity's self-driving-car simulator, converted by "
        f"udacity-gym from `driving_log.csv`.\n\n```python\n{use}\n```\n\n{_list(facts)}\n\n"
        f"Back to Udacity's format: `udacity-gym data convert --help`.\n"
    )


def _env_card(name: str) -> str:
    head = _metadata(library_name="lerobot", license="mit", tags=(*TAGS, "lerobot", "envhub"))
    return (
        f"{head}\n\n# {name}\n\nUdacity's self-driving-car simulator for LeRobot's EnvHub.\n\n"
        "```sh\npip install udacity-gym\n```\n\n```python\nfrom lerobot.envs.factory import make_env\n\n"
        f'envs = make_env("{name}", n_envs=2, trust_remote_code=True)\n```\n'
    )


def _inputs_and_outputs(description: Mapping[str, Any]) -> dict[str, str]:
    if "members" in description:
        return {"Network": f"an ensemble of {len(description['members'])}"}
    preprocessing = description["preprocessing"]
    height, width = preprocessing["camera_size"]
    cameras = ", ".join(description.get("cameras", ["center"]))
    facts = {
        "Network": str(description["network"]),
        "Input": f"{cameras} camera, {height}x{width} px uint8 RGB, "
        f"rows {preprocessing['crop'][0]} to {preprocessing['crop'][1]}",
        "Actions": "; ".join(f"{name}: {meaning}" for name, meaning in description["actions"].items()),
    }
    if description.get("target_speed") is not None:
        facts["Speed"] = f"{description['target_speed']:.1f} m/s, kept by a controller (`SpeedControl`)"
    if description.get("inputs"):
        facts["Other inputs"] = ", ".join(description["inputs"])
    return facts


def _training(training: Mapping[str, Any], facts: Mapping[str, str]) -> str:
    learner = {"Learner": str(training["learner"])} if "learner" in training else {}
    text = _list({**learner, **facts})
    settings = training.get("settings")
    if settings:
        text += f"\n\nAll settings:\n\n```json\n{json.dumps(settings, indent=2, sort_keys=True)}\n```"
    return text


def _list(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _metadata(**entries: str | tuple[str, ...]) -> str:
    """The block of YAML at the beginning of a card."""
    lines = []
    for name, value in entries.items():
        lines.append(f"{name}: {value}" if isinstance(value, str) else f"{name}:")
        lines += [f"- {item}" for item in value] if isinstance(value, tuple) else []
    return "\n".join(["---", *lines, "---"])


def _upload(folder: Path, repository: str, kind: Literal["model", "dataset"], private: bool) -> str:
    hub = require("huggingface_hub", f"uploading to hf:{repository}")
    api = hub.HfApi(library_name="udacity-gym")
    with _hub_errors(f"hf:{repository} can't be uploaded"):
        url = api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, repo_type=kind, commit_message="Upload with udacity-gym"
        )
    return str(url)


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """Turn errors of huggingface_hub and of the network into a `HubError`."""
    try:
        yield
    except UdacityGymError:
        raise
    except Exception as error:  # those of the network are of one HTTP library or another
        advice = "log in with hf auth login, or set HF_TOKEN; check the name and the network"
        raise HubError(f"{what}: {_first_line(error)}; {advice}") from error


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
