"""Which API a command talks to, and what a person is told when that does not work."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sluice.cli import EXIT_FAILED, EXIT_PENDING, EXIT_PROBLEM, EXIT_UNREACHABLE
from sluice.client import (
    ApiError,
    ArtifactError,
    Client,
    ClientError,
    OperationFailedError,
    OperationPendingError,
    RefusedError,
    StaleError,
    UnreachableError,
)
from sluice.stack.errors import StackError
from sluice.stack.state import Situation, read_situation

ApiOption = Annotated[
    str | None,
    typer.Option(
        "--api", metavar="URL", envvar="SLUICE_API", help="The control API; default: that of the local stack."
    ),
]
DataOption = Annotated[Path, typer.Option("--data", metavar="DIR", help="Data folder of the local stack.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

TOKEN_VARIABLE = "SLUICE_TOKEN"
"""Environment variable with the API's write token. Not an option: other users of a host see command lines."""


@dataclass(frozen=True, slots=True)
class Address:
    """The API's URL and where it comes from.

    Attributes:
        hint: What to do if nothing answers there.
    """

    url: str
    hint: str


def find_api(api: str | None, data: Path) -> Address:
    """The API that was asked for, else that of the stack in `data`.

    Raises:
        UnreachableError: There is neither.
    """
    if api is not None:
        url = api if "://" in api else f"http://{api}"
        return Address(url.rstrip("/"), "--api or SLUICE_API names it: is it right, and does it run?")
    found = read_situation(data.absolute())
    if found.situation is Situation.UP and found.state is not None and found.state.api_url:
        return Address(found.state.api_url, "The stack is starting or in trouble: `sluice status` says which.")
    raise UnreachableError("any address", f"no local stack is up in {data}, and neither --api nor SLUICE_API is given")


@contextmanager
def connected(api: str | None, data: Path, actor: str | None = None) -> Iterator[Client]:
    """A client of the API; errors that a person can act on end the command with a message and its exit status.

    Args:
        api: URL that was asked for.
        data: Data folder of the local stack.
        actor: Who writes, for the record; `None`: the login name.
    """
    hint = "Is the stack up? `sluice up` starts it; --api URL or SLUICE_API=URL names another API."
    try:
        address = find_api(api, data)
        hint = address.hint if api is not None else f"{address.hint} `sluice up` starts one that is down."
        with Client(address.url, token=os.environ.get(TOKEN_VARIABLE), actor=actor or _login()) as client:
            yield client
    except UnreachableError as error:
        _end(f"{_sentence(error)}\n{hint}", EXIT_UNREACHABLE)
    except StaleError as error:
        now = f" It is at revision {error.revision} now." if error.revision is not None else ""
        _end(f"{_sentence(error)}\nSomebody else was first, and nothing was written.{now} Look again.", EXIT_FAILED)
    except RefusedError as error:
        _end(_sentence(error), EXIT_FAILED)
    except ApiError as error:
        where = f" (the API's log has it as {error.trace_id})" if error.status >= 500 and error.trace_id else ""
        wrong = "".join(f"\n  {each.get('pointer', '')}: {each.get('detail', '')}" for each in error.errors)
        _end(f"{_sentence(error)}{where}{wrong}", EXIT_PROBLEM)
    except OperationPendingError as error:
        _end(_sentence(error), EXIT_PENDING)
    except (OperationFailedError, ArtifactError, StackError) as error:
        _end(_sentence(error), EXIT_FAILED)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of our output has seen enough (`sluice tail | head`).
        sys.stderr.close()
        raise SystemExit(0) from None


def _login() -> str | None:
    """Who is at the keyboard, as far as a header can say it; `None` if nobody knows."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None
    return "".join(character for character in name if " " <= character <= "~")[:128] or None


def _sentence(error: ClientError | StackError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


def _end(message: str, status: int) -> None:
    typer.secho("Error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(message, err=True)
    raise SystemExit(status)
