"""Objects by name: built-in, registered, and of other packages."""

import sys
from importlib.metadata import EntryPoint

import pytest

from udacity_gym import registry
from udacity_gym.errors import OptionError
from udacity_gym.registry import Registry

GROUP = "udacity_gym.colours"


@pytest.fixture
def colours(monkeypatch):
    points = [
        EntryPoint("green", "colours_of_others:Green", GROUP),
        EntryPoint("red", "colours_of_others:Green", GROUP),
        EntryPoint("grey", "colours_of_others:Grey", GROUP),
        EntryPoint("void", "colours_that_are_not_installed:Void", GROUP),
        EntryPoint("shade", "colours_of_others:SHADE", GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
    module = type(sys)("colours_of_others")
    exec("class Green: ...\nSHADE = 3", module.__dict__)
    monkeypatch.setitem(sys.modules, "colours_of_others", module)
    return Registry("colour", {"red": Red, "lazy": f"{__name__}:Red"}, expected="a class", group=GROUP)


class Red: ...


class Blue: ...


def test_built_in_names_come_first_and_win_over_those_of_other_packages(colours):
    assert colours.names() == ["red", "lazy", "green", "grey", "shade", "void"]
    assert colours.find("red") is Red
    assert "green" in colours
    assert "blue" not in colours
    assert None not in colours


def test_an_object_is_imported_when_it_is_looked_up(colours):
    assert colours.find("lazy") is Red
    assert colours.find("green").__name__ == "Green"


def test_a_registered_object_is_found_and_its_name_can_not_mean_another(colours):
    assert colours.register("blue", Blue) is Blue
    assert colours.find("blue") is Blue
    assert colours.register("blue", Blue) is Blue
    for name in ("blue", "red", "green"):
        with pytest.raises(OptionError, match=f"another colour '{name}'"):
            colours.register(name, type("Other", (), {}))


def test_what_does_not_fit_is_not_registered(colours):
    with pytest.raises(OptionError, match="colour 'blue' must be a class, got 3"):
        colours.register("blue", 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gren", f"no colour 'gren'; did you mean 'green'.*there are red, lazy, green.*'{GROUP}'"),
        (None, "no colour None; there are red"),
        ([], "no colour"),
        ("void", "'void': colours_that_are_not_installed can't be imported.*is it installed"),
        ("grey", "'grey': colours_of_others has no Grey, its colours are Green"),
        ("shade", "'shade' must be a class, got 3"),
    ],
)
def test_the_message_says_what_is_wrong_with_a_name(name, message, colours):
    with pytest.raises(OptionError, match=message):
        colours.find(name)


def test_a_setting_that_is_no_name_is_refused_with_the_setting_named(colours):
    colours.check("paint", "green")
    with pytest.raises(OptionError, match="paint='gren' is unknown; choose one of red, lazy, green"):
        colours.check("paint", "gren")


def test_a_registry_without_a_group_says_how_an_own_object_is_given():
    with pytest.raises(OptionError, match="one of your own is given as a function of x"):
        Registry("term", {"a": abs}, expected="a function of x").find("b")
