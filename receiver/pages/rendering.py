"""Templates: Jinja's environment, with every value escaped, and the responses made of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from starlette.responses import Response

from receiver.pages import assets, formats

_FOLDER = Path(__file__).parent / "templates"
#: The templates by their names. All are read when the server starts, and compiled when they are first shown: an
#: upgrade that replaces the files does not change a running process, whose code is the earlier one.
_SOURCES = {path.relative_to(_FOLDER).as_posix(): path.read_text("utf-8") for path in _FOLDER.rglob("*.html")}


@functools.cache
def environment() -> jinja2.Environment:
    """Return the environment of all templates. A name that is not defined is an error, never an empty text."""
    made = jinja2.Environment(
        loader=jinja2.DictLoader(_SOURCES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= formats.FILTERS
    made.globals |= {"asset": assets.path}
    return made


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return the text of a template."""
    return environment().get_template(template).render(values)


def render_block(template: str, block: str, values: Mapping[str, Any]) -> str:
    """Return the text of one block of a template, without the rest of the page."""
    found = environment().get_template(template)
    return "".join(found.blocks[block](found.new_context(dict(values))))


def respond(text: str, status: int) -> Response:
    """Return a page as a response; lone surrogates in a stored value become question marks."""
    return Response(text.encode("utf-8", "replace"), status, media_type="text/html")
