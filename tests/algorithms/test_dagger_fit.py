"""Interactive learners with learners of others, and rounds for loops of one's own."""

import runpy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO

import udacity_gym  # noqa: F401  (registers the environment)
from algorithms import (
    DART,
    DAgger,
    EnsembleDAgger,
    Frames,
    SafeDAgger,
    ThriftyDAgger,
    collect_round,
    load_policy,
)
from algorithms.learners import options_of
from udacity_gym.driving import EnsembleGate, HumanGate, Mixture, PolicyAlone
from udacity_gym.errors import CheckpointError, OptionError, RecordingError
from udacity_gym.experts import PurePursuit, ScriptedHuman
from udacity_gym.recording import open_recording

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL: dict[str, Any] = {"rounds": 3, "frames": 40, "progress": False}


def make_env() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("UdacitySim-v0", image_size=(40, 80))


@pytest.fixture(scope="module")
def env() -> Any:
    made = make_env()
    yield made
    made.close()


class MeanPolicy:
    """Does what the expert did on average."""

    def __init__(self, action: Any) -> None:
        self.action = np.asarray(action, np.float32)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        many = np.ndim(observation) == 4
        return (np.tile(self.action, (len(observation), 1)) if many else self.action), state

    def save(self, folder: Path) -> None:
        np.save(folder / "mean.npy", self.action)

    @classmethod
    def load(cls, folder: Path) -> "MeanPolicy":
        return cls(np.load(folder / "mean.npy"))


def fit_mean(frames: Frames, policy: MeanPolicy | None) -> MeanPolicy:
    return MeanPolicy([frames.steering.mean(), frames.throttle.mean()])


def test_a_function_that_fits_takes_the_place_of_the_networks(env: Any) -> None:
    seen: list[tuple[int, Any]] = []

    def fit(frames: Frames, policy: Any) -> MeanPolicy:
        seen.append((len(frames), policy))
        assert frames.image(0, "center").shape == (40, 80, 3)
        return fit_mean(frames, policy)

    learner = DAgger(env=env, expert=PurePursuit(), fit=fit, laps=0, **SMALL)
    policy: Any = learner.learn()
    assert [count for count, _ in seen] == [40, 80, 120]
    assert seen[0][1] is None
    assert [isinstance(before, MeanPolicy) for _, before in seen[1:]] == [True, True]
    assert isinstance(policy, MeanPolicy)
    assert [round.train_loss for round in learner.round_log] == [None] * 3
    assert learner.policy(2) is policy


def test_it_resumes_from_its_own_checkpoints_with_the_same_bytes(env: Any, tmp_path: Path) -> None:
    given: dict[str, Any] = {"env": env, "expert": PurePursuit(), "fit": fit_mean, "load": MeanPolicy.load}
    whole = DAgger(**given, folder=tmp_path / "whole", **SMALL)
    whole.learn()
    DAgger(**given, folder=tmp_path / "parts", **{**SMALL, "rounds": 1}).learn()
    parts = DAgger(**given, folder=tmp_path / "parts", **SMALL)
    policy: Any = parts.learn()
    assert parts.round_log == whole.round_log
    for path in ("rounds/round_002/driving_log.csv", "policies/round_002/mean.npy", "policy/mean.npy"):
        assert (tmp_path / "parts" / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()
    np.testing.assert_array_equal(policy.action, MeanPolicy.load(tmp_path / "whole" / "policy").action)
    assert not list((tmp_path / "whole").rglob(".*.part"))


@pytest.mark.long
def test_workers_get_the_policy_and_give_the_same_rounds(tmp_path: Path) -> None:
    given: dict[str, Any] = {"expert": PurePursuit(), "fit": fit_mean, "load": MeanPolicy.load}
    small = {**SMALL, "rounds": 2, "frames": 20}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        DAgger(env=make_env, **given, folder=folder, executor=workers, **small).learn()
    one, two = (tmp_path / str(n) / "rounds" / "round_001" / "frames.jsonl" for n in (1, 2))
    assert one.read_bytes() == two.read_bytes()


def test_a_model_of_stable_baselines_is_trained_saved_and_resumed(tmp_path: Path) -> None:
    with gymnasium.make("UdacitySim-v0", image_size=(40, 80)) as env:

        def fit(frames: Frames, model: PPO | None) -> PPO:
            return model or PPO("CnnPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu")

        given: dict[str, Any] = {
            "env": env,
            "expert": PurePursuit(),
            "fit": fit,
            "save": lambda model, folder: model.save(folder / "model.zip"),
            "load": lambda folder: PPO.load(folder / "model.zip", device="cpu"),
            "folder": tmp_path / "run",
            **SMALL,
            "frames": 10,
        }
        DAgger(**{**given, "rounds": 2}).learn()
        learner = DAgger(**given)
        assert isinstance(learner.learn(), PPO)
        assert [round.frames for round in learner.round_log] == [10, 10, 10]


@pytest.mark.parametrize("learner", [DART, EnsembleDAgger])
def test_other_learners_take_it_where_they_need_no_network(env: Any, learner: Any) -> None:
    class WithDoubt(MeanPolicy):
        def predict_with_doubt(
            self, observation: Any, state: Any, episode_start: Any
        ) -> tuple[Any, Any, float]:
            return self.action, state, 0.5

    limits = {"discrepancy": 0.1, "doubt": 0.1} if learner is EnsembleDAgger else {}
    done = learner(
        **limits,
        env=env,
        expert=PurePursuit(),
        fit=lambda frames, policy: WithDoubt(fit_mean(frames, policy).action),
        **{**SMALL, "rounds": 2},
    )
    assert isinstance(done.learn(), WithDoubt)
    if learner is EnsembleDAgger:
        assert done.round_log[1].frames == 40


def test_what_can_not_work_is_refused_at_once(env: Any, tmp_path: Path) -> None:
    given: dict[str, Any] = {"env": env, "expert": PurePursuit(), "progress": False}
    with pytest.raises(OptionError, match="epochs is a setting of the training of networks, which fit="):
        DAgger(fit=fit_mean, epochs=3, **given)
    with pytest.raises(OptionError, match="fit=3 must be a function"):
        DAgger(fit=3, **given)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"load=\.\.\. is for policies of a fit="):
        DAgger(load=MeanPolicy.load, **given)
    with pytest.raises(OptionError, match="has no predict"):
        DAgger(fit=fit_mean, initial=fit_mean, **given)  # type: ignore[arg-type]
    for learner in (SafeDAgger, ThriftyDAgger):
        with pytest.raises(OptionError, match="learns from features of the policy's network"):
            learner(fit=fit_mean, **given)
    with pytest.raises(OptionError, match="fit returned None, which has no predict"):
        DAgger(fit=lambda frames, policy: None, **given, rounds=1, frames=5).learn()


def test_a_checkpoint_that_can_not_be_loaded_is_noticed_in_the_first_round(env: Any, tmp_path: Path) -> None:
    given: dict[str, Any] = {"env": env, "expert": PurePursuit(), "fit": fit_mean, **SMALL}
    with pytest.raises(CheckpointError, match=r"can't be loaded .*; give load="):
        DAgger(**given, folder=tmp_path / "run").learn()


def test_the_command_does_not_offer_functions() -> None:
    names = {option.name for option in options_of(DAgger) or []}
    assert not names & {"fit", "save", "load", "executor", "labeller"}


def test_a_round_is_collected_for_a_loop_of_ones_own(env: Any, tmp_path: Path) -> None:
    expert, policy = PurePursuit(), MeanPolicy([0.0, 0.4])
    rounds = [
        collect_round(env, None, expert, Mixture(1.0), tmp_path / "r0", frames=30, seed=1),
        collect_round(env, policy, expert, Mixture(0.5), tmp_path / "r1", frames=30, seed=1, number=1),
        collect_round(env, policy, None, PolicyAlone(), tmp_path / "r2", frames=20, rollouts=1),
        collect_round(env, policy, ScriptedHuman(expert), HumanGate(), tmp_path / "r3", frames=20),
    ]
    assert [summary.frames for summary in rounds] == [30, 30, 20, 20]
    frames = Frames.of([open_recording(tmp_path / "r0"), open_recording(tmp_path / "r1")])
    assert len(frames) == 60
    drivers = {frame.extra["driver"] for frame in open_recording(tmp_path / "r1").frames()}
    assert drivers == {"policy", "expert"}
    again = collect_round(env, policy, expert, Mixture(0.5), tmp_path / "again", frames=30, seed=1, number=1)
    assert again == rounds[1]
    log = "driving_log.csv"
    assert (tmp_path / "again" / log).read_bytes() == (tmp_path / "r1" / log).read_bytes()


def test_a_round_takes_the_folder_of_a_policy(env: Any, road_recording: Path, tmp_path: Path) -> None:
    learner = DAgger(
        env=make_env_of_full_size,
        expert=PurePursuit(),
        rounds=1,
        frames=10,
        epochs=1,
        steps_per_epoch=1,
        threads=1,
        folder=tmp_path / "run",
        progress=False,
    )
    learner.learn()
    folder = tmp_path / "run" / "policy"
    assert load_policy(folder).actions == ("steering", "throttle")
    summary = collect_round(
        make_env_of_full_size, folder, PurePursuit(), EnsembleGate(1.0, 1.0), tmp_path / "round", frames=10
    )
    assert summary.frames == 10


def make_env_of_full_size() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("UdacitySim-v0")


def test_a_round_that_can_not_be_collected_is_refused_at_once(env: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="nobody can drive"):
        collect_round(env, None, None, PolicyAlone(), tmp_path / "round")
    with pytest.raises(OptionError, match="frames must be a whole number from 1 on"):
        collect_round(env, None, PurePursuit(), Mixture(1.0), tmp_path / "round", frames=0)
    (tmp_path / "round").mkdir()
    with pytest.raises(RecordingError, match="exists already; choose another folder"):
        collect_round(env, None, PurePursuit(), Mixture(1.0), tmp_path / "round")


@pytest.mark.long
def test_the_example_with_scikit_learn_keeps_what_it_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install scikit-learn")
    example = EXAMPLES / "dagger_scikit_learn.py"
    monkeypatch.setattr("sys.argv", [str(example), "--output", str(tmp_path / "run")])
    runpy.run_path(str(example), run_name="__main__")  # ends by asserting that DAgger gets better
    assert "round 4: 3000 frames" in capsys.readouterr().out
