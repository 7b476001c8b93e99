"""Progress bars are shown on terminals only."""

import io

import pytest

from udacity_gym.progress import hide_progress, progress_bar


class Stream(io.StringIO):
    """A stream that is a terminal or not."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def output_of(monkeypatch: pytest.MonkeyPatch, is_terminal: bool, show: bool = True) -> str:
    stream = Stream(is_terminal)
    monkeypatch.setattr("sys.stderr", stream)
    with progress_bar(show, total=3, desc="working") as bar:
        bar.update(3)
    return stream.getvalue()


def test_a_bar_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert "working: 100%" in output_of(monkeypatch, is_terminal=True)
    assert output_of(monkeypatch, is_terminal=False) == ""
    assert output_of(monkeypatch, is_terminal=True, show=False) == ""


@pytest.mark.parametrize(("value", "shown"), [("1", False), ("true", False), ("0", True), ("", True)])
def test_the_variable_of_tqdm_hides_bars(monkeypatch: pytest.MonkeyPatch, value: str, shown: bool) -> None:
    monkeypatch.setenv("TQDM_DISABLE", value)
    assert bool(output_of(monkeypatch, is_terminal=True)) is shown


def test_bars_can_be_hidden_for_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with hide_progress(), hide_progress(False):
        assert output_of(monkeypatch, is_terminal=True) == ""
    with hide_progress(False):
        assert output_of(monkeypatch, is_terminal=True)


def test_a_bar_iterates(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(progress_bar(iterable=range(4), total=4)) == [0, 1, 2, 3]
