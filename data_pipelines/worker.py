"""What a worker process needs before it can make a shard: paths, and a GPU."""

import atexit
import dataclasses
import os
import re
import secrets
import shutil
import tempfile
import threading
from pathlib import Path

import jax

from twohand_jax import extras, paths
from twohand_jax.errors import FailedError, InputError
from twohand_jax.locks import fcntl

# In a mirror: it is the launcher's own; who of other processes has it open.
HOME, USERS = ".home", ".users"
VISIBLE = "CUDA_VISIBLE_DEVICES"
PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
DEVICES = Path("/dev")
_lock = threading.Lock()
_claims: list[int] = []  # open files whose locks  this process holds while it lives
_process = secrets.token_hex(8)  # of all machines, this one


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
        launcher: a word for the launching process, which some runners have work, too.
    """

    mirror: str | None = None
    attached: tuple[str, ...] = ()
    platforms: str | None = None
    launcher: str = dataclasses.field(default_factory=lambda: _process)

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is another process than the launching one."""
        return self.launcher != _process

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


def gpus() -> list[str]:
    """What CUDA calls the GPUs of this machine, found without it."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    devices = DEVICES.iterdir() if DEVICES.is_dir() else ()
    found = [re.fullmatch(r"nvidia(\d+)", path.name) for path in devices]
    return sorted((match[1] for match in found if match), key=int)


def uses_cuda() -> bool:
    """Whether JAX would compute on NVIDIA's GPUs here; it is not asked."""
    wanted = set((os.environ.get("JAX_PLATFORMS") or "cuda").split(","))
    return bool({"cuda", "gpu"} & wanted) and any(map(extras.is_there, PLUGINS))


def leave_room(workers: int) -> None:
    """Have this process, which launches workers, keep out of the GPUs' memory.

    Args:
        workers: processes on this machine.

    Raises:
        InputError: they are more than the GPUs.
    """
    found = gpus() if uses_cuda() else []
    if 0 < len(found) < workers:
        raise InputError(
            f"--workers {workers} are more than the {len(found)} GPUs of this machine, "
            "of which each worker needs its own: give at most as many."
        )
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def claim_gpu() -> None:
    """Take one GPU for this process alone, before JAX takes all of them.

    Locks in the folder of temporary files say which are taken, so that the workers of
    all commands of a user share them out. Nothing happens where JAX uses none.

    Raises:
        FailedError: all are taken.
    """
    with _lock:
        found = gpus() if uses_cuda() else []
        if _claims or not found or fcntl is None:
            return
        for name in found:
            plain = re.sub(r"[^\w-]", "_", name)
            path = Path(tempfile.gettempdir()) / f"twohand-{os.getuid()}-gpu-{plain}"
            file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                continue
            _claims.append(file)
            os.environ[VISIBLE] = name
            return
    raise FailedError(
        f"All {len(found)} GPUs of this machine are taken by other workers: have one "
        "worker a GPU (--workers, or the runner's option) and run the command again."
    )


def _remove_with_the_last(root: Path) -> None:
    """Remove a mirror when the last process that has it open ends; not on Windows."""
    if fcntl is None:
        return
    users = (root / USERS).open("a")
    fcntl.flock(users, fcntl.LOCK_SH)

    def end() -> None:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(root, ignore_errors=True)

    atexit.register(end)
