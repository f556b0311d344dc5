"""``python -m apimall_async`` is the command ``apimall``."""

from apimall_async.cli import main


if __name__ == "__main__":
    main()
