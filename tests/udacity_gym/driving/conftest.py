import pytest

from udacity_gym.window import Window


@pytest.fixture
def window(monkeypatch):
    """A window on SDL's dummy display, with an empty queue of events."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame = pytest.importorskip("pygame")
    opened = Window("test", 64, 48)
    pygame.event.clear()
    yield opened
    opened.close()
