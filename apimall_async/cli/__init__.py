"""The command ``apimall`` (extra ``cli``). Each subcommand is a module; all of them use the façade only."""

try:
    from apimall_async.cli._app import main
except ModuleNotFoundError as error:
    if error.name not in {"click", "rich"}:
        raise
    from apimall_async.cli._no_extra import main


__all__ = ["main"]
