"""Registries: objects by name, the built-in ones and those of other packages."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import reduce
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from udacity_gym.errors import OptionError
from udacity_gym.installation import hidden_package

T = TypeVar("T")


def _is_callable(name: str, item: object) -> bool:
    return callable(item)


class Registry(Generic[T]):
    """Objects of one kind by name.

    Another package offers an object with a line in its ``pyproject.toml``, in the entry-point group of the
    kind, and needs to know nothing of ours::

        [project.entry-points."udacity_gym.networks"]
        MyNetwork = "my_package.networks:MyNetwork"

    A built-in name always means the built-in object.

    Args:
        kind: what an object is called in messages, such as "network".
        objects: name to object, or to "package.module:attribute", which is imported when it is needed.
        expected: what an object must be, such as "a subclass of Loss", for messages.
        group: entry-point group of the objects of other packages; None if packages can't offer any.
        fits: whether a name and an object are as expected.

    Attributes:
        kind, expected, group: as given.
        objects: the built-in objects and the registered ones, as given.
    """

    def __init__(
        self,
        kind: str,
        objects: Mapping[str, T | str],
        *,
        expected: str,
        group: str | None = None,
        fits: Callable[[str, object], bool] = _is_callable,
    ) -> None:
        self.kind = kind
        self.objects = dict(objects)
        self.expected = expected
        self.group = group
        self._fits = fits

    def names(self) -> list[str]:
        """Names of all objects: the built-in and registered ones, then those of other packages."""
        return [*self.objects, *sorted(self.entry_points().keys() - self.objects.keys())]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.objects or name in self.entry_points())

    def find(self, name: object) -> T:
        """Find an object by its name.

        Raises:
            OptionError: There is none, it can't be imported, or it is not as expected.
        """
        if isinstance(name, str):
            item = self.objects[name] if name in self.objects else self.entry_points().get(name)
            if item is not None:
                return self.load(name, item) if isinstance(item, str) else item
        raise OptionError(self._unknown(name))

    def check(self, setting: str, name: object) -> None:
        """Make sure that a setting is the name of an object, without importing the object.

        Raises:
            OptionError: There is no such object; the message names the setting.
        """
        if name not in self:
            raise OptionError(f"{setting}={name!r} is unknown; choose one of {', '.join(self.names())}")

    def register(self, name: str, item: T) -> T:
        """Add an object under a name, in this process.

        Returns:
            The object.

        Raises:
            OptionError: The object is not as expected, or the name belongs to another object.
        """
        self._check(name, item)
        if name in self.names() and self.find(name) != item:
            raise OptionError(f"there is another {self.kind} {name!r}; choose another name or version")
        self.objects[name] = item
        return item

    def load(self, name: str, path: str) -> T:
        """Import an object.

        Args:
            name: what to call it in messages.
            path: "package.module:attribute".

        Raises:
            OptionError: It can't be imported, or it is not as expected.
        """
        module_name, _, attribute = path.partition(":")
        try:
            module = import_module(module_name)
        except ImportError as error:
            hint = hidden_package(module_name) or "is it installed in this environment?"
            raise OptionError(
                f"{self.kind} {name!r}: {module_name} can't be imported ({error}); {hint}"
            ) from error
        try:
            item: Any = reduce(getattr, attribute.split("."), module)
        except AttributeError as error:
            own = {k: v for k, v in vars(module).items() if getattr(v, "__module__", "") == module_name}
            others = [key for key, value in own.items() if self._fits(key, value)]
            hint = f"its {self.kind}s are {', '.join(others)}" if others else f"and no other {self.kind}"
            hint = hidden_package(module_name) or hint
            raise OptionError(f"{self.kind} {name!r}: {module_name} has no {attribute}, {hint}") from error
        self._check(name, item)
        checked: T = item
        return checked

    def entry_points(self) -> dict[str, str]:
        """What other packages offer: name to "package.module:attribute"."""
        if self.group is None:
            return {}
        return {point.name: point.value for point in entry_points(group=self.group)}

    def _check(self, name: str, item: object) -> None:
        if not self._fits(name, item):
            raise OptionError(f"{self.kind} {name!r} must be {self.expected}, got {item!r}")

    def _unknown(self, name: object) -> str:
        names = self.names()
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        own = f"a package offers {self.expected} in the entry-point group {self.group!r}"
        if self.group is None:
            own = f"one of your own is given as {self.expected}"
        return f"no {self.kind} {name!r}; {hint}there are {', '.join(names)}; {own}"
