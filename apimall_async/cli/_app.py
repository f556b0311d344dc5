"""The command itself: its subcommands, and how each of them may end."""

import os
import sys
from typing import TYPE_CHECKING, Any, cast

import click

from apimall_async import ApimallError, __version__
from apimall_async.cli._download import download
from apimall_async.cli._export import export
from apimall_async.cli._failures import Ending, complain, ending_of
from apimall_async.cli._gateway import gateway
from apimall_async.cli._history import history
from apimall_async.cli._ui import ui


if TYPE_CHECKING:
    from io import TextIOWrapper

_EPILOG = f"""\b
Exit codes:
  {Ending.OK:<3}  done; an empty history is no error
  {Ending.FAILED:<3}  any other failure: gateway, answer, or output
  {Ending.USAGE:<3}  wrong usage or configuration, also a missing key
  {Ending.NO_ACCESS:<3}  the key is refused, or has no access
  {Ending.RATE_LIMITED:<3}  rate limit, after all retries
  {Ending.NO_CONNECTION:<3}  no connection, or no answer in time
  {Ending.INTERRUPTED:<3}  Ctrl-C
  {Ending.CLOSED_PIPE:<3}  the reader of the output went away
"""


class _Apimall(click.Group):
    """Ends a subcommand without a traceback, whatever of the expected happens to it."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(Ending.INTERRUPTED)
        except BrokenPipeError:
            _discard_output()
            ctx.exit(Ending.CLOSED_PIPE)
        except ApimallError as error:
            complain(error)
            ctx.exit(ending_of(error))
        except OSError as error:  # a full disk, a port in use
            complain(error)
            _discard_output()
            ctx.exit(Ending.FAILED)


@click.group(
    cls=_Apimall,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="apimall %(version)s")
def apimall() -> None:
    """Read the image history of an API Mall account.

    The key is taken from the environment's APIMALL_API_KEY, and from nowhere else: options are seen by
    whoever lists the processes, and kept by the shell. Rows go to stdout, words to stderr.

    \b
    Try it without a key:
      apimall history --demo
    """  # noqa: D301 - \b is click's


apimall.add_command(history)
apimall.add_command(export)
apimall.add_command(download)
apimall.add_command(gateway)
apimall.add_command(ui)


def main() -> None:
    """Run the command, and exit."""
    # A terminal that cannot show a character gets its number, rather than the reader a traceback.
    cast("TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")
    apimall.main(prog_name="apimall")


def _discard_output() -> None:
    """Send what the interpreter flushes at its exit nowhere: it would complain of a failed stream."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
