"""Who may connect, and what the page may read and write; without a browser."""

import contextlib
import http.client
import json

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.pages import ROOT, run_page
from udacity_gym.cli import main
from udacity_gym.cockpit import Cockpit, Workspace
from udacity_gym.cockpit.security import COOKIE, Guard, is_loopback
from udacity_gym.cockpit.server import STATIC
from udacity_gym.errors import OptionError


def get(cockpit, path="/", **headers):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", cockpit.port, timeout=60)) as connection:
        connection.request("GET", path, headers={"Host": f"127.0.0.1:{cockpit.port}", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace"), dict(answer.getheaders())


class Talk:
    """A page without a browser, for requests alone."""

    def __init__(self, cockpit, **options):
        options = {"origin": f"http://127.0.0.1:{cockpit.port}", **options}
        self._stack = contextlib.ExitStack()
        address = f"ws://127.0.0.1:{cockpit.port}/socket"
        self._socket = self._stack.enter_context(connect(address, max_size=None, open_timeout=60, **options))
        self._number = 0

    def ask(self, word, **arguments):
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "do": word, "with": arguments}))
        while True:
            message = self._socket.recv(timeout=240)
            if isinstance(message, bytes):
                length = int.from_bytes(message[:4], "little")
                stamp = json.loads(message[4 : 4 + length])["stamp"]
                self._socket.send(json.dumps(["shown", stamp]))
            elif (answer := json.loads(message)).get("id") == self._number:
                return answer

    def send(self, text):
        self._socket.send(text)

    def close(self):
        self._stack.close()


def test_the_page_and_its_files_come_with_a_strict_policy(serve):
    cockpit = serve()
    status, text, headers = get(cockpit)
    assert status == 200
    assert "<title>udacity-gym cockpit</title>" in text
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert get(cockpit, "/static/app.js")[0] == 200
    assert get(cockpit, "/static/../server.py")[0] == 404
    assert get(cockpit, "/static/%2e%2e/server.py")[0] == 404


def test_a_foreign_host_name_is_refused(serve):
    cockpit = serve()
    for host in ("evil.test", f"evil.test:{cockpit.port}", "", "localhost.evil.test", "192.168.0.7"):
        status, _text, _ = get(cockpit, Host=host)
        assert status in (400, 403), host
    assert get(cockpit, Host="localhost:9")[0] == 200  # a forwarded port is another one
    assert get(cockpit, Host=f"[::1]:{cockpit.port}")[0] == 200


def test_a_name_given_at_the_start_is_accepted(serve):
    cockpit = serve(names=["cockpit.test"])
    assert get(cockpit, Host="cockpit.test:80")[0] == 200


def test_a_websocket_of_another_site_or_of_none_is_refused(serve):
    cockpit = serve()
    for origin in ("http://evil.test", f"http://127.0.0.1:{cockpit.port + 1}", "null", None):
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            Talk(cockpit, origin=origin)
    talk = Talk(cockpit)
    assert "ok" in talk.ask("contents")
    talk.close()


def test_a_request_of_another_site_is_refused(serve):
    cockpit = serve()
    assert get(cockpit, "/image?recording=a&row=1", Origin="http://evil.test")[0] == 403


def test_the_token_opens_the_page_and_becomes_a_cookie(serve):
    cockpit = serve(token="s3cret-t0ken")
    assert get(cockpit)[0] == 403
    assert get(cockpit, "/?token=wrong")[0] == 403
    assert get(cockpit, "/static/app.js")[0] == 403
    status, _, headers = get(cockpit, "/?token=s3cret-t0ken")
    assert status == 303
    assert headers["location"] == "/"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "strict" in cookie.lower()
    kept = cookie.partition(";")[0]
    assert get(cockpit, Cookie=kept)[0] == 200
    assert get(cockpit, Cookie=f"{COOKIE}=wrong")[0] == 403
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        Talk(cockpit)
    talk = Talk(cockpit, additional_headers={"Cookie": kept})
    assert "ok" in talk.ask("contents")
    talk.close()


def test_another_interface_needs_a_token():
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("192.168.1.5")
    assert not is_loopback("example.com")
    with pytest.raises(OptionError, match="a token is required"):
        Guard(None, "0.0.0.0")


@pytest.mark.parametrize(
    "name", ["../outside", "/etc", "a/../../b", ".", "", "a\0b", "a\\..\\b", 7, None, "link/inside"]
)
def test_names_stay_in_the_workspace(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    workspace = Workspace(tmp_path / "workspace")
    (workspace.root / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OptionError):
        workspace.path(name)


def test_the_page_reads_and_writes_nothing_outside_the_workspace(serve, tmp_path):
    cockpit = serve()
    (tmp_path / "secret.json").write_text("{}")
    talk = Talk(cockpit)
    for word, arguments in (
        ("record", {"folder": "../outside"}),
        ("overview", {"name": "../outside"}),
        ("train", {"recordings": ["../outside"], "output": "training"}),
        ("evaluate", {"policies": ["../outside"], "output": "evaluation"}),
        ("begin_teaching", {"name": "../outside", "lesson": {"recordings": ["laps"]}}),
        ("configure", {"driver": "../outside"}),
        ("label", {"name": "../outside", "labels": {}}),
    ):
        assert "error" in talk.ask(word, **arguments), word
    for path in ("/file/../secret.json", "/file/%2e%2e/secret.json", "/image?recording=../outside&row=1"):
        assert get(cockpit, path)[0] == 404
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["secret.json", "workspace"]
    talk.close()


def test_only_words_of_the_desk_are_answered(serve):
    cockpit = serve()
    talk = Talk(cockpit)
    for word in ("__init__", "answer", "load", "close", "file", "_car", "workspace", 7, None):
        assert "error" in talk.ask(word)
    assert "unexpected keyword" in talk.ask("pace", speed=1)["error"]
    assert "is no setting" in talk.ask("train", recordings=["a"], output="b", settings="x;rm")["error"]
    assert "must be one of" in talk.ask("pace", pace=1000)["error"]
    talk.close()


def test_a_page_that_talks_nonsense_is_disconnected_and_the_car_goes_on(serve):
    cockpit = serve()
    for text in ("nonsense", '["drive"]', '["drive", 1, 1, "xyz", null, 0, 0]', "[]", "7"):
        talk = Talk(cockpit)
        talk.send(text)
        with pytest.raises(ConnectionClosed):
            talk.ask("contents")
        talk.close()
    talk = Talk(cockpit)
    assert "ok" in talk.ask("hello")
    talk.close()


def test_a_watcher_changes_nothing(serve):
    cockpit = serve()
    driver, watcher = Talk(cockpit), Talk(cockpit)
    assert "only watches" in watcher.ask("pause")["error"]
    assert "only watches" in watcher.ask("record", folder="laps")["error"]
    assert "ok" in watcher.ask("contents")
    assert watcher.ask("wheel")["ok"] is False
    assert driver.ask("wheel", to=2)["ok"] is True
    assert "ok" in watcher.ask("pause")
    driver.close()
    watcher.close()


def test_the_page_about_the_cockpit_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(ROOT / "docs" / "cockpit.md")
    assert (tmp_path / "workspace").is_dir()


def test_the_command_serves_until_it_is_stopped(tmp_path, monkeypatch, capsys):
    def wait(cockpit):
        assert get(cockpit)[0] == 200
        raise KeyboardInterrupt

    monkeypatch.setattr(Cockpit, "wait", wait)
    assert main(["cockpit", str(tmp_path / "workspace"), "--port", "0"]) == 130
    assert "Open http://127.0.0.1:" in capsys.readouterr().out
    assert main(["cockpit", str(tmp_path / "workspace"), "--port", "0", "--drop", "99"]) == 2
    assert "--drop" in capsys.readouterr().err


def test_code_of_others_is_small_and_comes_with_its_licences():
    vendor = STATIC / "vendor"
    assert sum(path.stat().st_size for path in vendor.glob("*.*s")) < 70_000
    for name in ("LICENSE-htm", "LICENSE-preact", "LICENSE-uplot"):
        assert "icense" in (vendor / name).read_text()


def test_the_policies_of_the_package_are_offered_and_can_drive(serve):
    cockpit = serve()
    talk = Talk(cockpit)
    assert "pretrained:lake" in talk.ask("contents")["ok"]["policies"]
    assert "ok" in talk.ask("configure", driver="pretrained:lake")
    assert "there is no" in talk.ask("configure", driver="pretrained:moon")["error"]
    talk.close()
    assert Workspace(".").existing("pretrained:lake").name == "lake"
