"""The pages about other libraries run as they stand, and print what they say."""

import shutil
from pathlib import Path

import pytest
from pages import ROOT, run_page

from udacity_gym.recording import open_recording

MODELS = Path(__file__).with_name("keras_models")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_the_page_about_other_libraries_runs(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("laps").symlink_to(road_recording)
    shutil.copy(MODELS / "keras1_course.h5", "model.h5")
    names = run_page(
        ROOT / "docs" / "adapters.md",
        {
            "epochs=2": "epochs=1, threads=1",
            "n_steps=1024": "n_steps=256",
            "learn(8192": "learn(512",
            "CriticFirst(2048": "CriticFirst(256",
        },
    )
    average = names["Average"]
    learnt = average([open_recording("laps")], throttle=0.4).learn()
    learnt.save(tmp_path / "learnt")
    assert average.load(tmp_path / "learnt").action[1] == pytest.approx(0.4)


@pytest.mark.filterwarnings("ignore")
def test_the_page_about_imitation_runs(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("imitation")
    monkeypatch.chdir(tmp_path)
    Path("laps").symlink_to(road_recording)
    run_page(
        ROOT / "docs" / "imitation.md", {"max_seconds=20": "max_seconds=2.5", "n_epochs=2": "n_epochs=1"}
    )
