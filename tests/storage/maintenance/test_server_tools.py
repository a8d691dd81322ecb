"""What a database server's own tools get."""

from __future__ import annotations

import pytest
from psycopg import conninfo

from storage.maintenance import server_tools

ADDRESS = "postgresql+psycopg://me:it's a%40b@db.example:6432/name?sslmode=require"


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS.replace(":it's a%40b", "") + "&password=it's a%40b"])
def test_the_password_is_apart_from_the_address(address: str) -> None:
    spelled, password = server_tools.connection_string(address)
    assert password == "it's a@b"
    assert "it's" not in spelled
    parts = conninfo.conninfo_to_dict(spelled)
    assert (parts["host"], parts["port"], parts["user"]) == ("db.example", "6432", "me")
    assert (parts["dbname"], parts["sslmode"]) == ("name", "require")
    assert "it's" not in server_tools.display_url(address)


def test_a_file_for_the_password_can_be_named_in_an_address() -> None:
    name = r"/a b/it's\here"
    parts = conninfo.conninfo_to_dict(server_tools.with_passfile("host=db", name))
    assert parts["passfile"] == name
