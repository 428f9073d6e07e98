"""A dataset's shards as an Apache Beam pipeline.

One element is one shard, made by the same pure function as in ``writer``'s processes,
so a set begun one way is continued the other way. The directory must be reachable
under one path by the launching machine and by every worker, as must the source: a
local disk for ``DirectRunner``, otherwise a file system that all mount, or a store
(``gs://``, ``s3://``), of which every worker keeps its own mirror (``worker``).
"""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import apache_beam

from twohand_jax import files, paths
from twohand_jax.errors import FailedError, InputError, UnreadableError
from twohand_jax.pipelines import beam_options, labelled, shard_file
from twohand_jax.pipelines.labelled import ShardSource
from twohand_jax.pipelines.shard_file import Receipt
from twohand_jax.pipelines.worker import Site, claim_gpu
from twohand_jax.pipelines.writer import Made, MakeShards, Shard, outcome
from twohand_jax.progress import Bar


def maker(options: Sequence[str]) -> MakeShards:
    """How ``writer.write`` has its shards made by Beam.

    Args:
        options: of the pipeline as ``name=value`` or a bare ``name``.

    Raises:
        InputError: an option does not fit (``beam_options.checked``).
    """
    checked = beam_options.checked(options)

    def make(
        source: ShardSource,
        directory: Path,
        pending: list[Shard],
        workers: int,
        bar: Bar,
    ) -> Made:
        del workers
        folder = str(directory.resolve())
        paths.flush()  # such as the index of annotations, which workers read
        write = _WriteShard(folder, source, Site.here())
        try:
            with apache_beam.Pipeline(options=checked) as pipeline:
                keys = pipeline | "shards" >> apache_beam.Create(pending)
                spread = keys | "spread" >> apache_beam.Reshuffle()
                spread | "write" >> apache_beam.ParDo(write)
        except Exception as error:  # Beam raises whatever a worker or a runner did
            text = " ".join(str(error).split()) or type(error).__name__
            reason = textwrap.shorten(text, 400, placeholder=" …")
            raise FailedError(
                f"The Beam pipeline failed ({reason}); finished shards are kept: run "
                "the same command again."
            ) from error
        paths.attach(Path(folder), again=True)  # what workers elsewhere have written
        for shard in pending:
            receipt = shard_file.finished(directory, source, *shard)
            if receipt is None and (reason := _take_note(directory, source, shard)):
                yield shard, UnreadableError(reason)
                continue
            if receipt is None:
                name = shard_file.file_name(source, *shard)
                raise InputError(
                    f"The Beam workers did not leave {name} in {folder}: launcher and "
                    "workers must see the same directory under this path."
                )
            bar.update(source.shard_sizes[shard[0]][shard[1]])
            yield shard, receipt

    return make


class _WriteShard(apache_beam.DoFn):
    """Writes one shard; gives its number of examples."""

    def __init__(self, directory: str, source: ShardSource, site: Site) -> None:
        super().__init__()
        self.directory, self.source, self.site = directory, source, site

    def setup(self) -> None:
        """Make the launcher's paths good in this process, and take a GPU for it."""
        self.site.enter()
        if self.site.is_elsewhere and labelled.needs_device(self.source):
            claim_gpu()

    def process(self, element: Shard) -> Iterator[int]:
        """``element`` is split and number of a shard."""
        directory = Path(self.directory)
        found = outcome(directory, self.source, element)
        if isinstance(found, Receipt):
            yield found.examples
        else:
            note = _note(directory, self.source, element)
            files.write_text(note, str(found))


def _note(directory: Path, source: ShardSource, shard: Shard) -> Path:
    """Where a worker tells the launcher why a shard stays unfinished."""
    name = shard_file.file_name(source, *shard)
    return directory / shard_file.RECEIPTS / f"{name}.unread"


def _take_note(directory: Path, source: ShardSource, shard: Shard) -> str:
    """What a worker told of a shard, which is removed; "" for nothing."""
    note = _note(directory, source, shard)
    if not paths.fetch(note):
        return ""
    text = note.read_text()
    files.remove(note)
    return text
