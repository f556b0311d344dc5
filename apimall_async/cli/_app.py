"""The command itself: its subcommands, and how each of them may exit."""

import os
import sys
from typing import TYPE_CHECKING, Any, cast

import click

from apimall_async import ApimallError, __version__
from apimall_async.cli._download import download
from apimall_async.cli._errors import ExitCode, exit_code_of, print_error
from apimall_async.cli._export import export
from apimall_async.cli._gateway import gateway
from apimall_async.cli._history import history
from apimall_async.cli._process import interruptible, open_missing_streams
from apimall_async.cli._ui import ui


if TYPE_CHECKING:
    from io import TextIOWrapper

_EPILOG = f"""\b
Exit codes:
  {ExitCode.OK:<3}  done; an empty history is no error
  {ExitCode.FAILED:<3}  any other failure: gateway, response, or output
  {ExitCode.USAGE:<3}  wrong usage or configuration, also a missing key
  {ExitCode.NO_ACCESS:<3}  the key is refused, or has no access
  {ExitCode.RATE_LIMITED:<3}  rate limit, after all retries
  {ExitCode.NO_CONNECTION:<3}  no connection, or no response in time
  {ExitCode.HUNG_UP:<3}  SIGHUP: its terminal was closed
  {ExitCode.INTERRUPTED:<3}  Ctrl-C
  {ExitCode.CLOSED_PIPE:<3}  the reader of the output closed it
  {ExitCode.TERMINATED:<3}  SIGTERM
"""


class _Apimall(click.Group):
    """Ends a subcommand without a traceback, whatever of the expected happens to it."""

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            return super().main(*args, **options)
        except OSError as error:  # --help and --version come before there is a subcommand
            print_error(error)
            _discard_output()
            sys.exit(ExitCode.FAILED)

    def invoke(self, ctx: click.Context) -> Any:
        with interruptible() as interruption:
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt:
                ctx.exit(interruption.exit_code or ExitCode.INTERRUPTED)
            except BrokenPipeError:
                _discard_output()
                ctx.exit(ExitCode.CLOSED_PIPE)
            except ApimallError as error:
                print_error(error)
                ctx.exit(exit_code_of(error))
            except OSError as error:  # a full disk, a port in use, the terminal that was closed
                print_error(error)
                _discard_output()
                ctx.exit(interruption.exit_code or ExitCode.FAILED)


@click.group(
    cls=_Apimall,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="apimall %(version)s")
def apimall() -> None:
    """Read the image history of an API Mall account.

    The key is taken from the environment's APIMALL_API_KEY, and from nowhere else: options are seen by
    whoever lists the processes, and kept by the shell. Rows go to stdout, messages to stderr.

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
    open_missing_streams()
    # A terminal that cannot show a character gets its number, rather than the reader a traceback.
    cast("TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")
    apimall.main(prog_name="apimall")


def _discard_output() -> None:
    """Send what the interpreter flushes at its exit nowhere: it would report that a stream failed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
