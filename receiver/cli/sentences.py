"""Expected errors as one line on stderr and an exit code, for all verbs in one place."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import typer.core

from receiver import errors
from receiver.cli import figures
from storage import errors as storage_errors

FAILED, USAGE = 1, 2

#: What was typed is wrong; anything else that is expected went wrong.
_USAGE = (
    errors.BadParameter,
    errors.BadHeader,
    errors.BadBody,
    errors.InvalidBody,
    errors.BodyTooLarge,
    errors.UnusableKey,
    storage_errors.BadFilter,
    storage_errors.BadQuestion,
    storage_errors.BadCursor,
    storage_errors.BadStatement,
    storage_errors.NotReadable,
)
#: Fields of a submission by the option that gives them, where the two differ.
_OPTIONS = {"agentId": "--agent", "objectIds": "--object", "tags": "--tag", "runId": "RUN"}


class Complaint(Exception):
    """Something a verb has to say in place of its work. `code` is the exit code."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


class Verbs(typer.core.TyperGroup):
    """All commands; whichever runs, no expected error comes out as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except Complaint as complaint:
            code, told = complaint.code, [str(complaint)]
        except (errors.ReceiverError, storage_errors.StorageError) as error:
            code, told = USAGE if isinstance(error, _USAGE) else FAILED, list(_told(error))
        except BrokenPipeError:
            raise  # who reads has enough
        except OSError as error:
            code, told = FAILED, [_trouble(error)]
        except UnicodeError:
            code, told = FAILED, ["something that was typed, or a file that was read, is no text in UTF-8"]
        for sentence in told:
            print(f"runledger: {figures.safe(sentence)}", file=sys.stderr)
        raise typer.Exit(code)


def _told(error: Exception) -> Iterable[str]:
    """The sentences of an error, in the words of the command line: options, not parameters or fields."""
    match error:
        case errors.BadParameter() | errors.BadHeader():
            yield f"{_option(error.name)}: {_small(str(error).removeprefix(error.name + ':').strip())}"
        case storage_errors.BadFilter():
            yield f"{_option(error.name)}: {error.message}"
        case storage_errors.BadQuestion():
            yield str(error)
            yield from _shown(error.question, error.position)
        case storage_errors.BadStatement(position=int(position)):
            yield str(error)
            yield from _shown(error.statement, position)
        case storage_errors.BadCursor():
            yield f"--cursor: {error}"
        case errors.InvalidBody():
            for fault in error.faults:
                name = fault.pointer.removeprefix("#/").partition("/")[0]
                yield f"{_OPTIONS.get(name, _option(name))}: {_small(fault.detail)}"
        case storage_errors.Unavailable():
            yield f"the database cannot be used now: {error}"
        case _:
            yield from str(error).splitlines()


def _trouble(error: OSError) -> str:
    """What the system said of a file, a disk or an address."""
    said = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {said}" if isinstance(error.filename, str) else said


def _shown(text: str, position: int) -> Iterable[str]:
    """The text with a mark below the character from which it is wrong."""
    begins = max(0, position - 40)
    yield f"  {''.join(' ' if each.isspace() else each for each in text[begins : begins + 76])}"
    yield f"  {' ' * (position - begins)}^"


def _small(message: str) -> str:
    """A message that follows a colon."""
    return message[:1].lower() + message[1:]


def _option(name: str) -> str:
    """`settled_by` as `--settled-by`, `tag.matter` as `--tag matter`."""
    head, dot, rest = name.partition(".")
    return f"--{head.replace('_', '-').lower()}" + (f" {rest}" if dot else "")
