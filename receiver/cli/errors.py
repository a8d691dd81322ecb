"""Expected errors of commands: one line each on standard error, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from receiver import errors
from receiver.cli.render import format as render_format
from storage import errors as storage_errors

FAILED, USAGE = 1, 2

#: The command line is wrong. Any other expected error is a failure.
_USAGE_ERRORS = (
    errors.BadParameter,
    errors.BadHeader,
    errors.BadBody,
    errors.InvalidBody,
    errors.BodyTooLarge,
    errors.InvalidKeyRequest,
    storage_errors.BadFilter,
    storage_errors.BadQuery,
    storage_errors.BadCursor,
    storage_errors.BadStatement,
    storage_errors.NotReadable,
)
#: The option for a field of the request body, where the names differ.
_OPTIONS = {"agentId": "--agent", "objectIds": "--object", "tags": "--tag", "runId": "RUN"}
_OPTIONS |= {"verdict": "VERDICT", "target": "--run, --tag or --query"}


class CommandError(Exception):
    """A command cannot do its work. `code` is the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


#: The errors that a command may raise. Any other is a bug and ends with a traceback.
EXPECTED = (CommandError, errors.ReceiverError, storage_errors.StorageError, OSError, UnicodeError)


def report(error: Exception) -> int:
    """Print an expected error to standard error, and return the exit code."""
    for line in _lines(error):
        print(f"runledger: {render_format.safe(line)}", file=sys.stderr)
    if isinstance(error, CommandError):
        return error.code
    return USAGE if isinstance(error, _USAGE_ERRORS) else FAILED


def _lines(error: Exception) -> Iterable[str]:
    """Return the lines of an error; they name options, not the API's parameters and fields."""
    match error:
        case errors.BadParameter() | errors.BadHeader():
            yield f"{_option(error.name)}: {_lower_first(str(error).removeprefix(error.name + ':').strip())}"
        case storage_errors.BadFilter():
            yield f"{_option(error.name)}: {error.message}"
        case storage_errors.BadQuery():
            yield str(error)
            yield from _marked(error.query, error.position)
        case storage_errors.BadStatement(position=int(position)):
            yield str(error)
            yield from _marked(error.statement, position)
        case storage_errors.BadCursor():
            yield f"--cursor: {error}"
        case errors.InvalidBody():
            for fault in error.faults:
                name = fault.pointer.removeprefix("#/").partition("/")[0]
                yield f"{_OPTIONS.get(name, _option(name))}: {_lower_first(fault.detail)}"
        case storage_errors.Unavailable():
            yield f"the database cannot be used now: {error}"
        case OSError():
            yield _system_error(error)
        case UnicodeError():
            yield "an argument or a file that was read is not UTF-8 text"
        case _:
            yield from str(error).splitlines()


def _system_error(error: OSError) -> str:
    message = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {message}" if isinstance(error.filename, str) else message


def _marked(text: str, position: int) -> Iterable[str]:
    """Return the text and below it a mark under the character at `position`."""
    begins = max(0, position - 40)
    yield f"  {''.join(' ' if each.isspace() else each for each in text[begins : begins + 76])}"
    yield f"  {' ' * (position - begins)}^"


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]


def _option(name: str) -> str:
    """Return `--settled-by` for `settled_by`, `--tag matter` for `tag.matter`."""
    head, dot, rest = name.partition(".")
    return f"--{head.replace('_', '-').lower()}" + (f" {rest}" if dot else "")
