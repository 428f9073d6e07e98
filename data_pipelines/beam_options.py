"""Options of a Beam pipeline, refused before anything is built where they do not fit.

Beam itself passes over an option that it does not know, waits a minute for a job
server that is not there, and says the rest from deep inside a worker. Here every
name, value and address is tried first, within ``WAIT_S`` for each address.
"""

import argparse
import contextlib
import io
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
)
from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.job_server import ExternalJobServer

from twohand_jax.errors import InputError, did_you_mean

WAIT_S = 3.0  # for an address to answer
EMBED = "embed"  # the job endpoint that is a job server in the launching process
PORTABLE = "PortableRunner"
# Runners that hand a pipeline to a job server.
WITH_SERVER = frozenset(
    (PORTABLE, "FlinkRunner", "SparkRunner", "KafkaStreamsRunner", "PrismRunner")
)
FILES = (  # options that name one
    *("flink_job_server_jar", "spark_job_server_jar", "prism_location"),
    *("setup_file", "requirements_file"),
)
WORD = re.compile(r"(?:--)?(?P<name>[A-Za-z][\w-]*)(?:=(?P<value>.*))?", re.DOTALL)
IN_PLACE = re.compile(r"local(\[.*\])?|\[.*\]", re.IGNORECASE)  # [auto], local[4]
ADDRESS = re.compile(
    r"(?:(?:http|https|spark)://)?(?P<host>[\w.-]+|\[[\da-fA-F:]+\]):(?P<port>\d+)/?"
)


def checked(words: Sequence[str]) -> PipelineOptions:
    """Options of a pipeline from what was given with ``--beam``.

    Args:
        words: ``name=value``, or a bare ``name`` for a switch; dashes before are
            allowed.

    Raises:
        InputError: a name is not known, a value does not fit, the runner cannot be
            used, or nothing answers at an address.
    """
    flags = [_flag(word) for word in words]
    options = PipelineOptions(flags)
    runner = _check_runner(_value(flags, "runner"))
    endpoint = _value(flags, "job_endpoint")
    if endpoint and runner not in WITH_SERVER:
        raise InputError(
            f"--beam job_endpoint is of no use with {runner}, which needs no job "
            f"server: add --beam runner={PORTABLE}, or leave it out."
        )
    if runner == PORTABLE and not endpoint:
        raise InputError(
            f"--beam runner={PORTABLE} needs a job server: say where it listens with "
            f"--beam job_endpoint=HOST:PORT, or {EMBED} for one in this process."
        )
    known_there: Sequence[Any] = ()
    if endpoint and endpoint != EMBED:
        known_there = _ask_job_server(endpoint)
    _check_names(options, flags, known_there)
    _check_files(flags)
    _check_cluster(options, runner)
    _check_pipeline(flags)
    return options


def _flag(word: str) -> str:
    match = WORD.fullmatch(word)
    if match is None:
        raise InputError(
            f"--beam {word!r} is no option of Beam: write NAME=VALUE, as "
            "runner=DirectRunner, or the bare NAME of a switch."
        )
    value = match["value"]
    return f"--{match['name']}" + ("" if value is None else f"={value}")


def _value(flags: Sequence[str], name: str) -> str:
    """The last value of an option among flags; "" for none."""
    values = [flag.partition("=")[2] for flag in flags if _name(flag) == name]
    return values[-1] if values else ""


def _name(flag: str) -> str:
    return flag.removeprefix("--").partition("=")[0]


def _check_runner(given: str) -> str:
    """The short name of the runner that is meant."""
    if not given:
        return str(StandardOptions.DEFAULT_RUNNER or "DirectRunner")
    if "." in given:  # a class of the user's own, which Beam imports
        return given.rpartition(".")[2]
    known = {name.lower(): name for name in StandardOptions.KNOWN_RUNNER_NAMES}
    for word in (given.lower(), f"{given.lower()}runner"):
        if word in known:
            return known[word]
    raise InputError(
        f"--beam runner={given} is no runner of Beam"
        f"{did_you_mean(given, known.values())}; choose from "
        f"{', '.join(sorted(known.values()))}, or name a class as MODULE.CLASS."
    )


def _check_names(
    options: PipelineOptions, flags: Sequence[str], known_there: Sequence[Any]
) -> None:
    """Refuse names that neither Beam nor the job server knows, and unfit values."""
    parsers: list[argparse.ArgumentParser] = []

    def keep(parser: argparse.ArgumentParser) -> None:
        parsers.append(parser)

    PipelineOptions([]).get_all_options(add_extra_args_fn=keep)
    names = [
        option.removeprefix("--")
        for option in parsers[0]._option_string_actions
        if option.startswith("--") and option != "--help"
    ]
    there = [str(option.name) for option in known_there]
    for name in map(_name, flags):
        if name not in names and name not in there:
            raise InputError(
                f"--beam {name} is no option of this Beam ({apache_beam.__version__}) "
                f"or of its runner{did_you_mean(name, [*names, *there])}: correct the "
                "name, or leave it out."
            )
    with _refused_values():
        options.get_all_options(retain_unknown_options=True)


@contextlib.contextmanager
def _refused_values() -> Iterator[None]:
    """What Beam's parser prints before it ends the process, as an ``InputError``."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            yield
    except (SystemExit, argparse.ArgumentTypeError, ValueError) as error:
        _, _, reason = told.getvalue().rpartition("error: ")
        reason = " ".join((reason or str(error)).split()).rstrip(".")
        raise InputError(
            f"The options given with --beam do not fit ({reason}): correct them; "
            "docs/scale.md has lines for each runner."
        ) from error


def _check_files(flags: Sequence[str]) -> None:
    for name in FILES:
        path = _value(flags, name)
        if path and "://" not in path and not Path(path).exists():
            raise InputError(
                f"--beam {name}={path} is not there: give the path of a file of this "
                "machine."
            )


def _check_cluster(options: PipelineOptions, runner: str) -> None:
    """Try the addresses of a cluster that a runner speaks to by itself."""
    if runner == "FlinkRunner":
        master = options.view_as(FlinkRunnerOptions).flink_master
        _reach("flink_master", str(master or ""))
    if runner == "SparkRunner":
        spark = options.view_as(SparkRunnerOptions)
        _reach("spark_rest_url", str(getattr(spark, "spark_rest_url", None) or ""))
        _reach("spark_master_url", str(spark.spark_master_url or ""))
    artifacts = options.view_as(PortableOptions).artifact_endpoint
    if runner in WITH_SERVER:
        _reach("artifact_endpoint", str(artifacts or ""))


def _check_pipeline(flags: Sequence[str]) -> None:
    """Let Beam load the runner and hold the options against each other."""
    try:
        with _refused_values():
            apache_beam.Pipeline(options=PipelineOptions(list(flags)))
    except (ImportError, AttributeError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"Beam cannot use --beam runner={_value(flags, 'runner')} here "
            f"({reason}): install what it needs, or choose another runner."
        ) from error


def _ask_job_server(endpoint: str) -> Sequence[Any]:
    """The options that a job server has beside Beam's.

    Raises:
        InputError: none answers.
    """
    _reach("job_endpoint", endpoint)
    request = beam_job_api_pb2.DescribePipelineOptionsRequest()
    try:
        server = ExternalJobServer(endpoint, WAIT_S).start()
        return tuple(server.DescribePipelineOptions(request, timeout=WAIT_S).options)
    except Exception as error:  # gRPC's, whose package is Beam's and not ours
        raise InputError(
            f"What listens at {endpoint} (--beam job_endpoint) does not answer as a "
            f"job server of Beam within {WAIT_S:g} s: name the job server's own port, "
            "and see that it runs."
        ) from error


def _reach(name: str, address: str) -> None:
    """Refuse an address where nothing listens; a cluster in this process has none."""
    if not address or IN_PLACE.fullmatch(address):
        return
    match = ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 2**16:
        if name != "job_endpoint" and ":" not in address:
            return  # "yarn" and the like, which are the runner's to know
        raise InputError(
            f"--beam {name}={address} is no address: write HOST:PORT with a port from "
            "1 to 65535."
        )
    host, port = match["host"].strip("[]"), int(match["port"])

    def connect() -> None:
        socket.create_connection((host, port), timeout=WAIT_S).close()

    reason = _within(connect, WAIT_S)
    if reason:
        raise InputError(
            f"Nothing answers at {host}:{port}, which --beam {name} names ({reason}): "
            "start the server there, or name the right host and port."
        )


def _within(do: Callable[[], None], seconds: float) -> str:
    """Why something did not go well in time; "" if it did. Names' look-ups hang."""
    failed: list[str] = [f"no answer within {seconds:g} s"]

    def work() -> None:
        try:
            do()
        except (OSError, UnicodeError) as error:
            failed[0] = getattr(error, "strerror", None) or str(error)
        else:
            failed[0] = ""

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return failed[0]
