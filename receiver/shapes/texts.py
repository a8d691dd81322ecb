"""The kinds of text that every shape shares."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

#: An id, ours or the upstream's: it is pasted into addresses, so nothing else is let in.
ID = r"^[A-Za-z0-9_-]{1,128}$"


def storable(text: str) -> str:
    """`text`, where a database can hold it: PostgreSQL stores neither NUL nor half of a surrogate pair."""
    if "\x00" in text:
        raise ValueError("holds the character NUL, which cannot be stored")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds half of a surrogate pair, which is no character")
    return text


Id = Annotated[str, StringConstraints(pattern=ID)]
Text = Annotated[str, AfterValidator(storable), Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})]
TagKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
TagValue = Annotated[Text, Field(max_length=256)]
