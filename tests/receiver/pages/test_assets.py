"""Test the static files that are sent: shortened and compressed, and the same by each content coding."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys

import pytest
import zstandard

from receiver.pages import assets

DECODE = {"zstd": lambda body: zstandard.ZstdDecompressor().decompress(body), "gzip": gzip.decompress}


@pytest.mark.parametrize("name", ["style.css", "pages.js", "icon.svg"])
def test_each_content_coding_has_the_same_file(name: str) -> None:
    path = assets.path(name).rpartition("/")[2]
    plain = assets.respond(path, "identity")
    assert "content-encoding" not in plain.headers
    for coding, decode in DECODE.items():
        answer = assets.respond(path, f"deflate, {coding}")
        assert answer.headers["content-encoding"] == coding
        assert decode(bytes(answer.body)) == plain.body


def test_styles_lose_comments_and_space_but_nothing_in_quotes() -> None:
    styles = b'/* a */ a::after,\n  b c > d { content: "/* , */ x";\n color: red; }\n'
    assert assets.shortened_styles(styles) == b' a::after,b c > d{content: "/* , */ x";color: red;}'


def test_scripts_lose_lines_of_comments_and_indentation() -> None:
    script = b"// About.\n(() => {\n  // Why.\n  go('a // b'); // kept\n\n})();\n"
    assert assets.shortened_script(script) == b"(() => {\ngo('a // b'); // kept\n})();\n"


def test_no_text_of_a_script_goes_over_several_lines() -> None:
    for source in assets.SCRIPTS:
        lines = [line for line in source.read_text().splitlines() if not re.match(r"\s*//", line)]
        assert not [line for line in lines if line.count("`") % 2], source.name


#: Shows everything once, and prints each file of the pages that was opened after their modules were imported.
_OPENED_LATER = """
import sys
from receiver.pages import assets, page_table, rendering
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
names = [rendering.environment().get_template(name).name for name in rendering.environment().list_templates()]
assets.path("style.css")
print(len(names) > 50, [each for each in opened if "templates" in each or "static" in each])
"""


def test_a_running_server_reads_no_template_and_no_static_file_again() -> None:
    done = subprocess.run([sys.executable, "-c", _OPENED_LATER], capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"
