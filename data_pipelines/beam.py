"""A dataset's shards as an Apache Beam pipeline.

One element is one shard, made by the same pure function as in ``writer``'s processes,
so a set begun one way is continued the other way. The directory must be reachable
under one path by the launching machine and by every worker (a local disk for
``DirectRunner``, a mounted network or cluster file system or a store such as ``gs://``
otherwise). So must the source, which must be files where the workers are others.
"""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions

from twohand_jax import files, paths
from twohand_jax.errors import FailedError, InputError, UnreadableError
from twohand_jax.pipelines import shard_file
from twohand_jax.pipelines.labelled import ShardSource
from twohand_jax.pipelines.shard_file import Receipt
from twohand_jax.pipelines.writer import Made, MakeShards, Shard, outcome
from twohand_jax.progress import Bar


def maker(options: Sequence[str]) -> MakeShards:
    """How ``writer.write`` has its shards made by Beam.

    Args:
        options: of the pipeline as ``name=value`` or a bare ``name``, passed through.
    """

    def make(
        source: ShardSource,
        directory: Path,
        pending: list[Shard],
        workers: int,
        bar: Bar,
    ) -> Made:
        del workers
        is_remote = paths.is_mirrored(directory)
        folder = paths.url(directory if is_remote else directory.resolve())
        try:
            with apache_beam.Pipeline(options=pipeline_options(options)) as pipeline:
                keys = pipeline | "shards" >> apache_beam.Create(pending)
                spread = keys | "spread" >> apache_beam.Reshuffle()
                spread | "write" >> apache_beam.ParDo(_WriteShard(folder, source))
        except Exception as error:  # Beam raises whatever a worker or a runner did
            text = " ".join(str(error).split()) or type(error).__name__
            reason = textwrap.shorten(text, 400, placeholder=" …")
            raise FailedError(
                f"The Beam pipeline failed ({reason}); finished shards are kept: run "
                "the same command again."
            ) from error
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


def pipeline_options(options: Sequence[str]) -> PipelineOptions:
    """Beam's options from ``name=value`` words."""
    return PipelineOptions([f"--{option.lstrip('-')}" for option in options])


class _WriteShard(apache_beam.DoFn):
    """Writes one shard; gives its number of examples."""

    def __init__(self, directory: str, source: ShardSource) -> None:
        super().__init__()
        self.directory, self.source = directory, source

    def process(self, element: Shard) -> Iterator[int]:
        """``element`` is split and number of a shard."""
        directory = paths.local(self.directory)
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
