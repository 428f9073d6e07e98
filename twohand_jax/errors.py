"""The exceptions this library raises on purpose, and what their sentences share."""

import difflib
import errno
from collections.abc import Iterable


class InputError(ValueError):
    """Something that came from outside (file, argument, record) is not usable.

    The message is one sentence for the user: what was wrong, where, what was expected
    and what to do. The command line prints it without a traceback and exits with 2.
    """


class MissingFileError(InputError):
    """A file is not there."""


class FailedError(RuntimeError):
    """The work could not be finished, though nothing that was asked for is wrong.

    The message is one sentence, as an ``InputError``'s. The command line exits with 1.
    """


class UnreadableError(FailedError):
    """A file is there, but the system could not read it (a disk, a network)."""


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
    """Whose fault it is that a file cannot be written: the path's, or the system's."""
    return InputError if error.errno in OF_PATHS else FailedError


LONGEST_WORD = 60  # of a name that may have been misspelt


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """A question for a misspelt name, to stand behind it; "" if none is near."""
    if len(str(word)) > LONGEST_WORD:
        return ""
    near = difflib.get_close_matches(str(word), [str(name) for name in known], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
