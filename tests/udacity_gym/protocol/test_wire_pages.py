"""The pages about the wire run as they stand, with a simulator at the other end."""

import re

import pytest
from wire_tools import PATIENT, free_port, running_client

from tests.pages import ROOT, run_page
from udacity_gym.protocol import client
from udacity_gym.protocol.dialects import DIALECTS
from udacity_gym.simulators.remote import RemoteOptions


@pytest.mark.parametrize(
    ("page", "settings"), [("unity.md", {"announce": False}), ("drive-py.md", {"announce": True})]
)
def test_the_page_runs_and_prints_what_it_says(page, settings, monkeypatch):
    monkeypatch.setattr(client, "SLOW_START", 0.1)
    monkeypatch.setattr(RemoteOptions, "read", lambda options: RemoteOptions(**{**options, **PATIENT}))
    port = free_port()
    with running_client(port, **settings):
        run_page(ROOT / "docs" / page, {'simulator="remote"': f'simulator="remote", port={port}'})


def test_the_page_names_every_dialect():
    text = (ROOT / "docs" / "unity.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in DIALECTS if name != "twin")


def test_the_messages_in_troubleshooting_are_ours():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    ours = page.split("## ")[1] + page.split("## ")[3]
    messages = re.findall(r"^\| `([^`]+)`", ours, re.M)
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "udacity_gym").rglob("*.py"))
    source = re.sub(r'"\s+f?"', "", source)  # a text over several lines is one
    for message in messages:
        # What stands between the parts that differ: numbers, addresses, names, what is left out.
        pieces = re.split(r"\.\.\.|[0-9.:]{2,}|'\w+'|\d+|python|\(|'", message)
        longest = max((piece.strip() for piece in pieces), key=len)
        assert longest in source, message
    assert len(messages) > 10
