"""The exceptions this library raises on purpose, and what their sentences share."""

import difflib
import errno
from collections.abc import Iterable


class InputError(ValueError):
    """Something from outside (a file, an argument, a record) can't be used.

    The message is one sentence for the user: what was wrong, where, what was expected
    and what to do. The command line prints it without a traceback and exits with 2.
    """


class MissingFileError(InputError):
    """A file is missing."""


class FailedError(RuntimeError):
    """The work could not be finished, though the input is right.

    The message is one sentence, as that of ``InputError``. The command line exits
    with 1.
    """


class UnreadableError(FailedError):
    """A file exists, but the system could not read it (a bad disk or network)."""


class NonFiniteLossError(FailedError):
    """The loss or its gradient became NaN or infinite; the message says where."""


class MissingDependencyError(InputError):
    """An optional package or system library is needed and absent."""


# What a path that was named can be guilty of; everything else is the system's.
OF_PATHS = frozenset(
    (
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY),
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP),
    )
)


def of_writing(error: OSError) -> type[InputError] | type[FailedError]:
    """The exception for a file that cannot be written: bad path or failing system."""
    return InputError if error.errno in OF_PATHS else FailedError


LONGEST_WORD = 60  # of a name that may have been misspelt


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """A question for a misspelt name, to stand behind it; "" if none is near."""
    if len(str(word)) > LONGEST_WORD:
        return ""
    near = difflib.get_close_matches(str(word), [str(name) for name in known], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
