"""The files of launch/ with stand-ins for the programs of clusters and clouds."""

import configparser
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT
from twohand_jax.cli import benchmark
from twohand_jax.cli.main import parser

LAUNCH = ROOT / "launch"
RECORDER = '#!/bin/sh\necho "$(basename "$0") $*" >> "$CALLS"\n'


@pytest.fixture
def execute(tmp_path):
    """Run a script among programs that note how they are called; its end and calls."""

    def run(script: Path | str, *arguments: str, programs=(), **environment: str):
        bin_, calls = tmp_path / "bin", tmp_path / "calls"
        bin_.mkdir(exist_ok=True)
        for name, body in dict(programs).items():
            (bin_ / name).write_text(RECORDER + body)
            (bin_ / name).chmod(0o755)
        given = ["bash", str(script)]
        if not isinstance(script, Path):
            given = ["bash", "-euc", script, "run"]
        ended = subprocess.run(
            [*given, *arguments],
            env=os.environ
            | {"PATH": f"{bin_}:{os.environ['PATH']}", "CALLS": str(calls)}
            | environment,
            capture_output=True,
            text=True,
        )
        return ended, calls.read_text().splitlines() if calls.exists() else []

    return run


def trained(words: list[str]) -> dict[str, object]:
    """What ``twohand`` makes of its words."""
    assert words[0] == "train"
    return vars(parser().parse_args(words))


@pytest.mark.parametrize("status", [0, 1, 143])
def test_slurm_queues_again_what_was_stopped(execute, status):
    ended, calls = execute(
        LAUNCH / "slurm.sh",
        *("paper", "/shared/paper"),
        programs={"srun": f"exit {status}", "scontrol": ""},
        SLURM_JOB_ID="17",
    )
    assert ended.returncode == status
    started = calls[0].partition(" twohand ")[2].split()
    assert trained(started)["distributed"] is True
    assert calls[1:] == (["scontrol requeue 17"] if status == 143 else [])


def test_slurm_asks_for_a_process_on_each_gpu():
    text = (LAUNCH / "slurm.sh").read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)", text, re.MULTILINE))
    assert options["ntasks-per-node"] == options["gpus-per-node"]
    assert options["signal"].startswith("TERM@")


def test_tpus_are_asked_for_once_and_trained_on(execute):
    """The first answer to "describe" is that there is no such request."""
    gcloud = (
        'case "$*" in *describe*)\n'
        '  [ -e "$CALLS.asked" ] || { touch "$CALLS.asked"; exit 1; }\n'
        "  echo ACTIVE ;; esac\n"
    )
    words = ("mine", "us-east5-b", "v6e-16", "paper", "gs://bucket/paper")
    for _ in range(2):
        ended, calls = execute(
            LAUNCH / "tpu.sh", *words, programs={"gcloud": gcloud, "sleep": ""}
        )
        assert ended.returncode == 0, ended.stderr
    created = [call for call in calls if "queued-resources create" in call]
    assert len(created) == 1 and "v2-alpha-tpuv6e" in created[0]
    command = re.search(r"twohand (train .*?) --zone", calls[-1])[1]
    assert str(trained(command.split())["workdir"]).endswith("bucket/paper")


def test_other_accelerators_are_no_tpus(execute):
    ended, calls = execute(LAUNCH / "tpu.sh", "mine", "z", "h100-8", "paper", "gs://b")
    assert ended.returncode == 2 and not calls
    assert ended.stderr == "h100-8 is no v5litepod, v5p or v6e slice.\n"


def test_the_jobset_s_pods_train_and_start_again():
    (jobset,) = yaml.safe_load_all((LAUNCH / "jobset.yaml").read_text())
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] > 0
    (job,) = jobset["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    assert spec["parallelism"] == spec["completions"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert trained(container["args"])["distributed"] is True
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    chips = int(container["resources"]["limits"]["google.com/tpu"])
    rows, columns = map(int, topology.split("x"))
    assert rows * columns == chips * spec["parallelism"]


def test_machines_of_skypilot_know_the_first_one(execute):
    task = yaml.safe_load((LAUNCH / "sky.yaml").read_text())
    ended, calls = execute(
        task["run"],
        programs={"twohand": ""},
        SKYPILOT_NODE_IPS="10.0.0.1\n10.0.0.2",
        SKYPILOT_NUM_NODES="2",
        SKYPILOT_NODE_RANK="1",
        **task["envs"],
    )
    assert ended.returncode == 0, ended.stderr
    found = trained(calls[0].split()[1:])
    assert (found["coordinator"], found["processes"], found["process"]) == (
        "10.0.0.1:1234",
        2,
        1,
    )


def test_what_is_measured_fits_into_fifteen_minutes(execute, tmp_path):
    ended, calls = execute(
        LAUNCH / "measure.sh",
        *(str(tmp_path / "out"), "data/open"),
        programs={"timeout": "exit 3"},
    )
    assert ended.returncode == 0, ended.stderr
    limits, commands = zip(*(call.split()[1:3] for call in calls), strict=True)
    assert sum(map(int, limits)) <= 15 * 60
    assert set(commands) == {"python", "twohand"}
    for call in calls:
        words = call.split()[2:]
        if words[0] == "twohand":
            flags = benchmark.flags_of(words[2]).parse_args(words[3:])
            assert flags.out.parent == tmp_path / "out"
        else:
            tests = [word for word in words if word.startswith("tests/")]
            assert tests and all((ROOT / name).exists() for name in tests)
    assert ended.stdout.count("ended with 3, see") == len(calls)


def test_images_and_machines_install_extras_that_there_are():
    settings = configparser.ConfigParser(comment_prefixes=("#",))
    settings.read(ROOT / "setup.cfg")
    known = set(settings["options.extras_require"])
    dockerfile = (ROOT / "Dockerfile").read_text()
    texts = [dockerfile, *(path.read_text() for path in LAUNCH.iterdir())]
    named = re.findall(r"EXTRAS=([\w,]+)|(?:\.|twohand)\[([\w,]+)\]", "\n".join(texts))
    extras = {name for group in named for part in group for name in part.split(",")}
    assert {"data", "tpu", "cuda13"} <= extras
    assert extras - {""} <= known


def test_the_image_has_a_python_that_is_supported():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    image = re.search(
        r"^FROM python:([\d.]+)-", (ROOT / "Dockerfile").read_text(), re.M
    )
    assert f"Python :: {image[1]}" in settings["metadata"]["classifiers"]
