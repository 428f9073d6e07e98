"""What a worker process of another machine needs before it can make a shard."""

import atexit
import dataclasses
import fcntl
import os
import shutil
from pathlib import Path

import jax

from twohand_jax import paths

# In a mirror: it is the launcher's own; who of other processes has it open.
HOME, USERS = ".home", ".users"


@dataclasses.dataclass(frozen=True)
class Site:
    """Where a command's paths of stores lie. Pickled into worker processes.

    A source's paths point into the launching machine's mirror (``paths``). Workers
    of other machines make a mirror of their own in the same place, fill it from the
    stores, and the last of them that ends removes it.

    Attributes:
        mirror: folder of the mirror; None where no path of a store was given.
        attached: what of it the launcher has copied down.
        platforms: ``JAX_PLATFORMS`` of the launcher; builds of records set it to
            ``cpu``, so that workers leave accelerators alone.
    """

    mirror: str | None = None
    attached: tuple[str, ...] = ()
    platforms: str | None = None

    @classmethod
    def here(cls) -> "Site":
        """That of this process, which launches the workers."""
        mirror = os.environ.get(paths.MIRROR)
        platforms = os.environ.get("JAX_PLATFORMS")
        if mirror is None:
            return cls(platforms=platforms)
        (Path(mirror) / HOME).touch()
        attached = tuple(str(path) for path in paths.attached())
        return cls(mirror, attached, platforms)

    def enter(self) -> None:
        """Make the launcher's paths good in this process, a worker's.

        Raises:
            FailedError: a store does not answer.
        """
        if self.platforms and "JAX_PLATFORMS" not in os.environ:
            os.environ["JAX_PLATFORMS"] = self.platforms
            jax.config.update("jax_platforms", self.platforms)
        if self.mirror is None or os.environ.get(paths.MIRROR) == self.mirror:
            return
        root = Path(self.mirror)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (root / HOME).exists():
            _remove_with_the_last(root)
        os.environ[paths.MIRROR] = self.mirror
        for path in self.attached:
            paths.attach(Path(path))


def _remove_with_the_last(root: Path) -> None:
    """Remove a mirror when the last process that has it open ends."""
    users = (root / USERS).open("a")
    fcntl.flock(users, fcntl.LOCK_SH)

    def end() -> None:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(root, ignore_errors=True)

    atexit.register(end)
