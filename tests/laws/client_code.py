"""Code of `receiver/client`: types, made from the OpenAPI description, and one client, made from the other."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

from receiver.api import route_table
from receiver.web import openapi
from tests.laws import pages

Schema = dict[str, Any]
#: The class for the parameters of each operation that has such.
FILTERS = {
    "list_runs": "RunsFilters",
    "list_deliveries": "DeliveriesFilters",
    "list_jobs": "JobsFilters",
    "list_changes": "ChangesFilters",
    "get_stats": "StatsFilters",
    "export_runs": "ExportFilters",
}
#: Python's names of the simple types.
_SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None", "any": "Any"}
_HEAD = """{quotes}{about}

Made from the OpenAPI description by `make docs`.
{quotes}

from __future__ import annotations

{imports}
"""


def answers() -> str:
    """Return receiver/client/answers.py."""
    schemas = _described()["components"]["schemas"]
    used = sorted(_reached(_roots(), schemas))
    aliases = "".join(_alias(name, schemas[name]["enum"]) for name in used if "enum" in schemas[name])
    classes = {name: schemas[name] for name in used if "enum" not in schemas[name]}
    ordered = sorted(classes, key=lambda name: (_base(name, classes) is not None, name))
    about = "The answers of the server as its JSON has them: instants are texts, costs micro-dollars."
    head = _head(about, "from typing import Any, Literal, TypedDict\n")
    return head + aliases + "".join(_definition(name, classes) for name in ordered)


def _head(about: str, imports: str) -> str:
    return _HEAD.format(quotes='"""', about=about, imports=imports)


def filters() -> str:
    """Return receiver/client/filters.py."""
    operations = {
        operation["operationId"]: operation
        for methods in _described()["paths"].values()
        for operation in methods.values()
    }
    parts = [_filter(name, operations[each]["parameters"]) for each, name in FILTERS.items()]
    imports = "from collections.abc import Mapping, Sequence\nfrom typing import TypedDict"
    return _head("The parameters of lists, by the names of the API.", imports) + "".join(parts)


def _described() -> Schema:
    return openapi.openapi(route_table.OPERATIONS, "0")


def _roots() -> set[str]:
    """Return the names of the answers that the calls name; their code cannot be imported without this one's."""
    return set(re.findall(r"Ask\[answers\.(\w+)\]", (pages.ROOT / "receiver" / "client" / "calls.py").read_text()))


def _reached(names: set[str], schemas: Schema) -> set[str]:
    """Return these schemas and those that they name."""
    found: set[str] = set()
    while names:
        found |= names
        names = {each for name in names for each in _references(schemas[name])} - found
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _base(name: str, classes: Schema) -> str | None:
    """Return the class that has a part of the fields of another, under a part of its name."""
    mine = classes[name]["properties"].items()
    return next(
        (
            each
            for each in classes
            if each != name and name.startswith(each) and classes[each]["properties"].items() <= mine
        ),
        None,
    )


def _definition(name: str, classes: Schema) -> str:
    schema, base = classes[name], _base(name, classes)
    inherited = classes[base]["properties"] if base else ()
    fields = {field: each for field, each in schema["properties"].items() if field not in inherited}
    lines = [f"    {field}: {_type(each)}\n" for field, each in fields.items()]
    total = "" if set(schema.get("required", ())) == set(schema["properties"]) else ", total=False"
    head = f"class {name}({base or 'TypedDict'}{total}):\n{_said(schema['description'])}\n\n"
    return "\n\n" + head + "".join(lines)


def _alias(name: str, values: list[str]) -> str:
    one_line = f"{name} = Literal[{', '.join(_quoted(each) for each in values)}]\n"
    if len(one_line) <= 116:
        return one_line
    return f"{name} = Literal[\n" + "".join(f"    {_quoted(each)},\n" for each in values) + "]\n"


def _quoted(text: str) -> str:
    return f'"{text}"'


def _said(text: str) -> str:
    """Return the docstring of a class."""
    text = text.replace("\\", "\\\\")
    whole = f'    """{" ".join(text.split())}"""'
    if len(whole) <= 115:
        return whole
    first, _, rest = " ".join(text.split()).partition(". ")
    lines = textwrap.wrap(rest, 111, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([f'    """{first}.', "", *lines, '    """'])


def _filter(name: str, parameters: list[Schema]) -> str:
    lines = [f"    {each['name']}: {_parameter(each)}" for each in parameters if each["in"] == "query"]
    lines = [line.replace("    tag:", "    tags:") for line in lines if not line.startswith("    cursor:")]
    about = '    """Parameters; several values of one are alternatives."""'
    return f"\n\nclass {name}(TypedDict, total=False):\n{about}\n\n" + "\n".join(lines) + "\n"


def _parameter(parameter: Schema) -> str:
    schema = parameter["schema"]
    if parameter.get("explode"):
        return "Mapping[str, str]"
    if schema.get("type") == "array":
        return "str | Sequence[str]"
    return _SIMPLE.get(schema.get("type", "string"), "str")


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(each) for each in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return f"Literal[{', '.join(map(_quoted, schema.get('enum', [schema.get('const')])))}]"
    kind = schema.get("type", "any")
    if kind == "array":
        places = schema.get("prefixItems")
        if places:
            return f"tuple[{', '.join(map(_type, places))}]"
        return f"list[{_type(schema.get('items', {}))}]"
    if kind == "object":
        below = schema.get("additionalProperties", {})
        return f"dict[str, {_type(below) if isinstance(below, dict) else 'Any'}]"
    return _SIMPLE[kind]


#: What differs in the client for an event loop: a pattern in the code of the other one, and what replaces it.
_AWAITED = "send|_sent|request|_ask|submit|wait|watch|run|timeline|document|cancel|refresh|notify|tag|again"
_AWAITED += "|reviews|review|delivery|retry_job|stats|sql|readiness|changes|close|_rows|follow|_stream|export"
_CHANGES = (
    (r'^""".*', '"""The client for programs with an event loop, made from `synchronous` by `make docs`."""'),
    (r"import contextlib\nimport time", "import asyncio\nimport contextlib"),
    (r"import Callable, Iterator,", "import AsyncIterator, Awaitable, Callable,"),
    (r"class Client", "class AsyncClient"),
    (r"httpx\.(BaseTransport|Client)", lambda found: f"httpx.Async{found[1]}"),
    (r"Callable\[\[float\], object\] = time", "Callable[[float], Awaitable[object]] = asyncio"),
    (r"def __(enter|exit)", r"async def __a\1"),
    (rf"    def ({_AWAITED})\(", r"    async def \1("),
    (r"(?<!\w)Iterator\[", "AsyncIterator["),
    (r"self\.(_sent|_sleep|close)\(", r"await self.\1("),
    (r"self\._http\.request\(", "await self._http.request("),
    (r"self\._http\.close\(", "await self._http.aclose("),
    (r"(self\.(?:_ask|send)\(calls\..*\))([.[])", r"(await \1)\2"),
    (r"(?<!await )self\.(_ask|send|run)\((?!self)", r"await self.\1("),
    (r"( +)yield from page\[noun\]", r"\1for row in page[noun]:\n\1    yield row"),
    (r"for event in", "async for event in"),
    (r"contextmanager", "asynccontextmanager"),
    (r"with self\._http", "async with self._http"),
    (r"( +)(\w+(?:\.\w+)?)\.read\(\)", r"\1await \2.aread()"),
    (r"iter_bytes", "aiter_bytes"),
)


def asynchronous() -> str:
    """Return receiver/client/asynchronous.py."""
    code = (pages.ROOT / "receiver" / "client" / "synchronous.py").read_text()
    for pattern, replaced in _CHANGES:
        code = re.sub(pattern, replaced, code)
    return code
