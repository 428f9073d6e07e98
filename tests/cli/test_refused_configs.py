"""Configs that cannot be trained: one sentence that names the field, exit code 2."""

import re
from pathlib import Path

import pytest

from twohand_jax.cli import common
from twohand_jax.cli import main as cli
from twohand_jax.experiments import base

CONFIGS = Path(__file__).parents[2] / "configs"
NAN, INFINITY = "1e999 - 1e999", "1e999"
REFUSED = [  # config, change, field that the sentence names
    ("tiny", "train.log_every=0", "config.train.log_every is 0"),
    ("tiny", "train.save_every=0", "config.train.save_every is 0"),
    ("tiny", "train.log_every=-1", "config.train.log_every is -1"),
    ("tiny", "train.save_every=-5", "config.train.save_every is -5"),
    ("tiny", "train.evaluate_every=-1", "config.train.evaluate_every is -1"),
    ("tiny", "train.picture_every=-1", "config.train.picture_every is -1"),
    ("prior", "train.evaluate_every=0", "config.train.best_metric is"),
    ("tiny", "train.keep_checkpoints=0", "config.train.keep_checkpoints is 0"),
    ("tiny", "train.fsdp=3", "config.train.fsdp is 3; .* number of devices, which is"),
    ("tiny", "train.fsdp=0", "config.train.fsdp is 0"),
    ("tiny", "train.seed=-1", "config.train.seed is -1"),
    ("tiny", "train.seed=4294967296", "config.train.seed is 4294967296"),
    ("tiny", "train.batch_size=0", "config.train.batch_size is 0"),
    ("tiny", "train.batch_size=-4", "config.train.batch_size is -4"),
    ("tiny", "train.batch_size=True", "config.train.batch_size is True, of type bool"),
    ("tiny", "train.batch_size=4.0", "config.train.batch_size is 4.0, of type float"),
    ("tiny", "train.total_steps=-1", "config.train.total_steps is -1"),
    ("tiny", "train.total_steps=0", "config.train.total_steps is 0"),
    ("tiny", "loss.pose=-5", "config.loss.pose is -5"),
    ("tiny", f"loss.mesh={INFINITY}", "config.loss.mesh is inf"),
    ("tiny", "loss.mean='sum'", "config.loss.mean is 'sum'; .* valid or all"),
    ("tiny", "loss.joints='posed'", "is 'posed'; .* regressed or kinematic"),
    ("tiny", "optim.decays='none'", "config.optim.decays is 'none'; .* matrices or"),
    ("tiny", "model.conv_std=0.0", "config.model.conv_std is 0.0; .* above 0"),
    ("scratch", "model.fusion.heads=3", "config.model.fusion.heads is 3, .* width 128"),
    ("scratch", "model.fusion.heads=0", "config.model.fusion.heads is 0"),
    ("scratch", "model.fusion.width=6", "config.model.fusion"),
    ("tiny", "model.cue_shrink=2", "cells is 4, but cue .* makes 2 of crop_size 64"),
    ("tiny", "model.cue_shrink=3", "is 3, which does not divide crop_size 64"),
    ("scratch", "crop.cells=7", "cells is 7, .* makes 6 of crop_size 96"),
    ("scratch", "model.cells=7", "config.model.cells is 7, .* makes 6 of crop_size 96"),
    ("scratch", "model.crop_size=128", "crop_size"),
    ("paper", "crop.crop_size=-1", "config.crop.crop_size is -1"),
    ("tiny", "crop.crop_size=0", "config.crop.crop_size is 0"),
    ("tiny", "crop.crop_scale=0", "config.crop.crop_scale is 0"),
    ("tiny", "model.image.depths=()", r"config.model.image.depths is \(\)"),
    ("tiny", "model.image.depths=(1,-1)", r"config.model.image.depths is \(1, -1\)"),
    ("tiny", "model.image.width=0", "config.model.image.width is 0"),
    ("tiny", "model.dtype='float99'", "config.model.dtype is 'float99'"),
    ("tiny", "model.image_std=(1.0, 1.0)", "config.model.image_std is .* 3 entries"),
    ("tiny", "model.transnet.grid=0", "config.model.transnet.grid is 0"),
    ("tiny", "model.transnet.sigma=-1.0", "config.model.transnet.sigma is -1"),
    ("tiny", "optim.schedule='zzz'", "config.optim.schedule is 'zzz'; .* constant"),
    ("tiny", "optim.learning_rate=-1e-3", "config.optim.learning_rate is -0.001"),
    ("tiny", f"optim.learning_rate={NAN}", "config.optim.learning_rate is"),
    ("tiny", "optim.learning_rate=1e999", "config.optim.learning_rate is inf"),
    ("tiny", "optim.ema_decay=1.0", "config.optim.ema_decay is 1"),
    ("tiny", "optim.ema_decay=-0.1", "config.optim.ema_decay is -0.1"),
    ("tiny", "optim.accumulate=0", "config.optim.accumulate is 0"),
    ("tiny", "augment.flip_probability=1.5", "config.augment.flip_probability is 1.5"),
    ("tiny", "augment.rotation_probability=-1.0", "config.augment.rotation_prob"),
    ("tiny", "augment.color=(1.2, 0.8)", r"config.augment.color is \(1.2, 0.8\)"),
    ("tiny", "augment.color=(1.2,)", "config.augment.color is .* 2 entries"),
    ("tiny", "data.canvas_size=0", "config.data.canvas_size is 0"),
    ("tiny", "data.workers=0", "config.data.workers is 0"),
    ("tiny", "data.train=()", r"config.data.train is \(\)"),
    (
        "tiny",
        "data.train=({'directory': 'a', 'weight': 0.0},)",
        r"config.data.train\[0\].weight is 0.0",
    ),
    ("prior:paper", "model.heads=0", "config.model.heads is 0"),
    ("prior:paper", "model.heads=3", "config.model.embedding is 512"),
    ("prior", "model.width=0", "config.model.width is 0"),
    ("prior", "model.timesteps=64", "config.model.timesteps is 64"),
    ("prior", "model.numbers=63", "config.model.numbers is 63"),
    ("prior:paper", "model.attention='all'", "config.model.attention is 'all'"),
    ("prior", "diffusion.timesteps=0", "config.diffusion.timesteps is 0"),
    ("prior", "diffusion.beta_start=0.5", "config.diffusion.beta_start is 0.5"),
    ("prior", "diffusion.schedule='flat'", "config.diffusion.schedule is 'flat'"),
    ("prior", "diffusion.beta_end=1.0", "config.diffusion.beta_end is 1"),
    ("prior", "diffusion.normalise='max'", "config.diffusion.normalise is 'max'"),
    ("prior", "loss.unconditional=2.0", "config.loss.unconditional is 2"),
    ("prior", "loss.branch='anchor'", "config.loss.unconditional is 0.2"),
    ("prior", "loss.weighting='snr'", "config.loss.weighting is 'snr'"),
    ("pair_encoder", "loss.noise=-1.0", "config.loss.noise is -1"),
    ("pair_encoder", "model.points=0", "config.model.points is 0"),
    ("pair_encoder", "model.outputs=3", "config.model.outputs is 3"),
    ("segdepth", "model.widths=(8, 8)", r"config.model.depths is .* 2 widths"),
    ("segdepth", "model.widths=()", r"config.model.widths is \(\)"),
    ("segdepth", "model.depths=(0, 0, 1, 1, 1)", "config.model.depths is"),
    ("segdepth", "crop.crop_size=150", "config.crop.crop_size is 150"),
    ("segdepth", "augment.box_dropout=1.1", "config.augment.box_dropout is 1.1"),
    ("segdepth", "loss.depth=-0.5", "config.loss.depth is -0.5"),
    ("tiny", "model.widht=3", "config.model has no field 'widht'; its fields are "),
    ("tiny", "model.init=3", "config.model has no field 'init'"),
    ("tiny", "modle.width=3", "the config has no section 'modle'"),
    ("tiny", "model=3", "config.model is 3; it must be a section"),
    ("freihand", "model.transnet.grid=3", "config.model.transnet is None"),
    ("tiny", "experiment='poetry'", "config.experiment is 'poetry'; .* segdepth"),
    ("tiny", "train.batch_size", "must read section.field=value"),
]


def refusal(capsys, tmp_path: Path, config: str, *words: str) -> str:
    """The sentence with which ``twohand train`` refuses."""
    workdir = tmp_path / "work"
    command = ["train", "--config", config, "--workdir", str(workdir), *words]
    assert cli.main(command) == 2
    told = capsys.readouterr().err.strip()
    assert told.startswith("twohand train: ") and "\n" not in told, told
    assert not workdir.exists()
    return told


@pytest.mark.parametrize(("config", "change", "field"), REFUSED)
def test_a_field_out_of_range_is_named(config, change, field, tmp_path, capsys):
    file, *option = config.split(":")
    path = ":".join([str(CONFIGS / f"{file}.py"), *option])
    told = refusal(capsys, tmp_path, path, "--set", change)
    assert re.search(field, told), told


WORDS = [
    ["--set", "train.fsdp=0"],
    ["--config.train.fsdp=0"],
    ["--config.train.fsdp", "0"],
]


@pytest.mark.parametrize("words", WORDS)
def test_both_forms_of_a_change_reach_the_config(words, tmp_path, capsys):
    told = refusal(capsys, tmp_path, str(CONFIGS / "tiny.py"), *words)
    assert "config.train.fsdp is 0" in told


def test_a_change_without_value_is_refused(tmp_path, capsys):
    told = refusal(capsys, tmp_path, str(CONFIGS / "tiny.py"), "--config.train.fsdp")
    assert "--config.section.field=value" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:\n    pass", "line 1, is not Python"),
        ("x = 1\n\nprint(y)", "cannot be run: NameError in line 3"),
        ("x = 1", "defines no function get_config"),
        ("def get_config():\n    pass", "returns None, not a ConfigDict"),
        ("def get_config():\n    return [1]", r"returns \[1\], not a ConfigDict"),
        ("def get_config():\n    return 1 / 0", "fails: ZeroDivisionError in line 2"),
        ("def get_config():\n    return {'model': 1}", "config.model is 1"),
    ],
)
def test_a_file_that_is_no_config_is_refused(text, message, tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(text)
    told = refusal(capsys, tmp_path, str(path))
    assert "mine.py" in told or "config." in told
    assert re.search(message, told), told


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("paper.py:foo", "no option 'foo'; its options are baseline, keypoints"),
        ("ablation.py:foo", "no option 'foo'; its options are image"),
        ("prior.py:foo", "no option 'foo'; its options are open, apart, paper"),
        ("tiny.py:foo", "takes no option; leave out ':foo'"),
        ("nowhere.py", "There is no config file"),
        ("nowhere.py:foo", "There is no config file"),
    ],
)
def test_an_option_that_a_file_does_not_take_is_refused(
    config, message, tmp_path, capsys
):
    assert message in refusal(capsys, tmp_path, str(CONFIGS / config))


def test_backbones_can_be_left_out():
    paper = str(CONFIGS / "paper.py")
    for change in ("init={}", "init={'image': None, 'cue': ''}"):
        init = base.parse(common.load_config(paper, [change])).init
        assert not init.image and not init.cue and not init.transnet
    changes = ["init.image=None", "init.cue=None", "init.transnet=None"]
    init = base.parse(common.load_config(paper, changes)).init
    assert init.image is None and init.cue is None
    tiny = common.load_config(str(CONFIGS / "tiny.py"), ["init.cue='a folder'"])
    assert base.parse(tiny).init.cue == "a folder"


def test_a_section_left_out_starts_from_its_defaults():
    changes = ["model.image.width=32", "model.fusion.heads=4"]
    config = common.load_config(str(CONFIGS / "freihand.py"), changes)
    model = base.parse(config).model
    assert model.image.width == 32 and model.image.depths == (3, 4, 6, 3)
    assert model.image.bottleneck and model.fusion.width == 512


def test_intervals_of_zero_switch_evaluation_and_pictures_off():
    changes = ["train.evaluate_every=0", "train.picture_every=0"]
    loop = base.parse(common.load_config(str(CONFIGS / "tiny.py"), changes)).train
    assert loop.evaluate_every == loop.picture_every == 0


def test_a_plain_dict_is_a_config(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "def get_config():\n"
        "    return {'experiment': 'prior', 'train': {'total_steps': 1,\n"
        "            'batch_size': 2}, 'data': {'train': 'a', 'test': 'b'}}\n"
    )
    experiment = base.parse(common.load_config(str(path), ["model.layers=1"]))
    assert experiment.kind == "prior" and experiment.model.layers == 1


def test_a_change_stays_in_its_own_section():
    """In configs/tiny.py, three backbones are made of one dict."""
    tiny = str(CONFIGS / "tiny.py")
    model = base.parse(common.load_config(tiny, ["model.cue.width=8"])).model
    assert model.cue.width == 8
    assert model.image.width == model.transnet.resnet.width == 4


def test_references_inside_a_config_follow_a_change(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        f"import runpy\n\ndef get_config():\n"
        f"    config = runpy.run_path({str(CONFIGS / 'prior.py')!r})['get_config']()\n"
        "    config.train.save_every = config.train.get_ref('log_every') * 2\n"
        "    return config\n"
    )
    loop = base.parse(common.load_config(str(path), ["train.log_every=7"])).train
    assert (loop.log_every, loop.save_every) == (7, 14)
