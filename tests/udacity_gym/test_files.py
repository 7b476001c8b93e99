"""Files that appear whole or not at all."""

import errno
from pathlib import Path

import pytest

from udacity_gym.errors import RecordingError, UdacityGymError
from udacity_gym.files import LOCK, replacing, using_folder, write_whole


def test_a_file_takes_its_name_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "x.txt"
    with replacing(path) as part:
        part.write_text("new")
        assert part.parent == path.parent
        assert part.suffix == ".txt"
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_keeps_the_older_file_and_leaves_nothing_beside_it(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write():
        with replacing(path) as part:
            part.write_text("ne")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_removes_its_file_replaces_nothing(tmp_path):
    with replacing(tmp_path / "x.txt") as part:
        part.unlink()
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "x.txt"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_place_of_the_file_is_an_error_that_leaves_nothing(tmp_path):
    path = tmp_path / "x.txt"
    path.mkdir()
    with pytest.raises(UdacityGymError, match=r"x\.txt can't be written"), replacing(path) as part:
        part.write_text("new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RecordingError, match=r"x\.txt can't be written"),
        replacing(tmp_path / "file" / "x.txt", RecordingError),
    ):
        pytest.fail("nothing can be written there")


def test_a_text_is_written_whole(tmp_path):
    path = write_whole(tmp_path / "deep" / "x.txt", "lückenlos\n")
    assert path.read_bytes() == "lückenlos\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_names_the_file_and_keeps_the_older_one(tmp_path, monkeypatch):
    def full(self, content):
        with self.open("wb") as file:
            file.write(b"ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write_whole(tmp_path / "x.txt", "old")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UdacityGymError, match=r"x\.txt can't be written: No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_runs_in_one_folder_are_refused(tmp_path):
    with using_folder(tmp_path / "run"):
        with (
            pytest.raises(UdacityGymError, match=r"another run is writing to .*run; wait"),
            using_folder(tmp_path / "run"),
        ):
            pass
        with using_folder(tmp_path / "other"):
            pass
    with using_folder(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_a_lock_that_was_left_behind_holds_nobody_up(tmp_path):
    (tmp_path / LOCK).touch()
    with using_folder(tmp_path):
        pass
