"""The types of text that all schemas share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

#: An id, ours or the upstream's. Ids become parts of URLs, so nothing else is accepted.
ID = r"^[A-Za-z0-9_-]{1,128}$"
_SURROGATE = re.compile("[\ud800-\udfff]")


def storable(text: str) -> str:
    """Return `text`, or raise ValueError where PostgreSQL cannot store it: NUL, lone surrogates."""
    if "\x00" in text:
        raise ValueError("contains the character NUL, which cannot be stored")
    if not text.isascii() and _SURROGATE.search(text) is not None:
        raise ValueError("contains a lone surrogate, which is not a character")
    return text


Id = Annotated[str, StringConstraints(pattern=ID)]
Text = Annotated[str, AfterValidator(storable), Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})]
TagKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
TagValue = Annotated[Text, Field(max_length=256)]
