"""Where the command `trio-pool` begins and ends: what it needs, and what its exit status says."""

from __future__ import annotations

import sys

EXTRA = frozenset({"click", "rich", "trustme"})
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    :param arguments: what follows the command's name; by default the process's own.
    :returns: the exit status: 0, 1 when it failed, 2 when it was asked for something that cannot be,
        130 when it was interrupted.
    """
    try:
        from .app import command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        return _complain("the command line is an extra; install it with: pip install 'trio_pool[cli]'")
    return _run(command, arguments)


def _complain(sentence: str) -> int:
    print(f"trio-pool: {sentence}", file=sys.stderr)
    return 1


def _run(command: object, arguments: list[str] | None) -> int:
    import click

    assert isinstance(command, click.Command)
    try:
        status = command.main(arguments, prog_name="trio-pool", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        return INTERRUPTED
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
