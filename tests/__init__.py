"""The tests: a package, since parts of it are run by hand with `python -m tests.…`."""
