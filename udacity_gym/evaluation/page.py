"""HTML pages from the files in ``templates``. Values are escaped, except `markupsafe.Markup`."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2

from udacity_gym import __version__


def render(template: str, **values: Any) -> str:
    """Fill a template.

    Args:
        template: name of a file in ``templates``.
        values: values by their names in the template.
    """
    return _templates().get_template(template).render(version=__version__, **values)


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("udacity_gym.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
