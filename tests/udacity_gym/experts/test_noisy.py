import gymnasium
import numpy as np
import pytest

import udacity_gym
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import OptionError
from udacity_gym.experts import Noise, NoisyExpert, PurePursuit
from udacity_gym.recording import record


def straight(observation, info):
    return np.array([0.1, 0.5], np.float32)


def drawn(expert, steps, dt=0.1):
    """Noise of so many steps."""
    return np.array([expert(None, {"time": i * dt}) - expert.label for i in range(steps)])


def test_noise_has_the_covariance_it_is_given():
    covariance = ((0.02, 0.005), (0.005, 0.01))
    noise = drawn(NoisyExpert(straight, Noise(covariance), seed=3), 20_000)
    np.testing.assert_allclose(np.cov(noise.T), covariance, rtol=0.05, atol=0.0005)
    assert abs(np.corrcoef(noise[1:, 0], noise[:-1, 0])[0, 1]) < 0.03


def test_correlated_noise_has_the_same_covariance_and_forgets_itself_in_its_time():
    noise = drawn(NoisyExpert(straight, Noise.of(0.1, correlation=0.5), seed=3), 40_000)[:, 0]
    assert noise.std() == pytest.approx(0.1, rel=0.05)
    for steps in (1, 5, 10):
        wanted = np.exp(-steps * 0.1 / 0.5)
        assert np.corrcoef(noise[steps:], noise[:-steps])[0, 1] == pytest.approx(wanted, abs=0.04)


def test_the_same_seed_repeats_the_noise_and_a_new_episode_begins_without_the_old_one():
    expert, again = (NoisyExpert(straight, Noise.of(0.1, correlation=1e9), seed=1) for _ in range(2))
    first, second = drawn(expert, 10), drawn(expert, 10)
    np.testing.assert_array_equal(first, drawn(again, 10))
    assert np.ptp(first[:, 0]) < 1e-3, "it hardly forgets"
    assert abs(first[0, 0] - second[0, 0]) > 1e-2, "but between episodes"


def test_a_reset_repeats_the_noise_of_a_drive():
    expert = NoisyExpert(straight, Noise.of(0.1, correlation=0.3), seed=1)
    expert.reset(None, {}, seed=7)
    first = drawn(expert, 10)
    drawn(expert, 4)
    expert.reset(None, {}, seed=7)
    np.testing.assert_array_equal(drawn(expert, 10), first)


def test_no_noise_is_the_expert_itself():
    expert = NoisyExpert(straight, Noise.of(0.0))
    np.testing.assert_array_equal(expert(None, {"time": 0.0}), straight(None, None))


def test_a_perturbed_expert_stays_on_the_road_and_sees_more_of_it():
    def offsets(expert):
        env = UdacityEnv(cameras=(), max_laps=1)
        observation, info = env.reset(seed=0)
        found, ended = [], False
        while not ended:
            observation, _, terminated, truncated, info = env.step(expert(observation, info))
            found.append(info["cte"])
            ended = terminated or truncated
        assert info["end_reason"] == "max_laps"
        return np.array(found)[60:]

    clean = offsets(PurePursuit())
    white = offsets(NoisyExpert(PurePursuit(), Noise.of(0.15)))
    coloured = offsets(NoisyExpert(PurePursuit(), Noise.of(0.15, correlation=0.5)))
    assert clean.std() < white.std() < coloured.std()
    assert coloured.std() > 3 * clean.std()


def test_recordings_keep_what_was_executed_and_what_the_expert_wanted(tmp_path):
    with gymnasium.make(udacity_gym.ENV_ID, cameras=udacity_gym.telemetry.CAMERAS) as env:
        expert = NoisyExpert(PurePursuit(), Noise.of(0.2), seed=4)
        recording = record(env, expert, tmp_path, seconds=2)
    (episode,) = recording.episodes
    extras = episode.extras()
    executed = np.array([extra["action"] for extra in extras])
    wanted = np.array([extra["expert_action"] for extra in extras])
    np.testing.assert_allclose(executed[:, 0], episode.steering, atol=1e-6)
    assert np.std(executed[:, 0] - wanted[:, 0]) == pytest.approx(0.2, rel=0.4)
    np.testing.assert_array_equal(executed[:, 1], wanted[:, 1])


def test_noise_is_fitted_to_a_policys_error():
    generator = np.random.default_rng(0)
    covariance = np.array([[0.04, 0.01], [0.01, 0.02]])
    expert = generator.uniform(-1, 1, (5000, 2))
    policy = expert + generator.multivariate_normal(np.zeros(2), covariance, 5000)
    fitted = Noise.fitted(policy, expert)
    np.testing.assert_allclose(fitted.covariance, covariance, rtol=0.1, atol=0.002)
    assert fitted.correlation == 0.0
    scaled = Noise.fitted(policy, expert, error=0.12)
    np.testing.assert_allclose(scaled.covariance, 2.0 * covariance, rtol=0.1, atol=0.004)
    assert np.trace(scaled.covariance) == pytest.approx(0.12)


def test_noise_is_fitted_to_how_long_a_policys_error_lasts():
    expert = NoisyExpert(straight, Noise.of(0.1, 0.05, correlation=0.5), seed=5)
    wrong = drawn(expert, 20_000)
    fitted = Noise.fitted(wrong, np.zeros_like(wrong), dt=0.1)
    assert fitted.correlation == pytest.approx(0.5, rel=0.1)
    assert Noise.fitted(np.zeros((9, 2)), np.zeros((9, 2)), dt=0.1) == Noise.of(0.0)


def test_noise_that_is_none_is_refused():
    for covariance in (((1.0, 2.0), (2.0, 1.0)), ((1.0, 0.5), (0.0, 1.0)), (1.0, 2.0), "mild"):
        with pytest.raises(OptionError, match="covariance"):
            Noise(covariance)
    with pytest.raises(OptionError, match="correlation"):
        Noise.of(0.1, correlation=-1.0)
    with pytest.raises(OptionError, match=r"\(n, 2\)"):
        Noise.fitted(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(OptionError, match="callable"):
        NoisyExpert(3)
