"""What is left of the command where the extra ``cli`` is not installed."""

import sys


def main() -> None:
    """Say what to install."""
    sys.stderr.write("apimall: this command needs an extra: pip install 'apimall-async[cli]'\n")
    sys.exit(2)
