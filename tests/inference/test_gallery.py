"""The page of a result holds what the result file says, and nothing from outside."""

import base64
import json
import re

import cv2
import jax
import numpy as np
import pytest
from PIL import Image

import twohand_jax as th
from tests.inference.people import people
from tests.viz.test_html import tags
from twohand_jax import mano
from twohand_jax.cli import main as cli
from twohand_jax.inference import gallery, result_file
from twohand_jax.mano.topology import close_wrist

HEIGHT, WIDTH = 480, 640
HOSTILE = "<img src=x onerror=alert(1)>&\"'.jpg"


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture
def write(tmp_path, model):
    """Writes a result of three people (or none) and, if wanted, its picture."""

    def one(
        name: str,
        *,
        seed: int = 0,
        is_empty: bool = False,
        picture: bool = True,
        by: float | None = None,
    ):
        found = people(model, seed)
        if is_empty:
            found = found._replace(score=np.zeros_like(found.score))
        content = result_file.to_json(
            found,
            result_file.PictureInfo(name, HEIGHT, WIDTH),
            model=model.name,
            refined=[True, False, False],
            before=[] if by is None else [_moved(found, by)],
            penetration=[{"max_depth_mm": 1.25, "volume_cm3": None}, None, None],
        )
        if picture:
            color = np.full((HEIGHT, WIDTH, 3), (200, 40, 90), np.uint8)
            Image.fromarray(color).save(tmp_path / name)
        path = tmp_path / f"result_{seed}.json"
        path.write_text(json.dumps(content))
        return path

    return one


def _moved(found, by: float):
    """The first person's hands, so many metres further away."""
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[0], found.mano)
    return one._replace(transl=one.transl + [0, 0, by])


def view(path, *words: str) -> str:
    """The page that the command writes beside a result or in a folder of them."""
    page = (path if path.is_dir() else path.parent) / "page.html"
    assert cli.main(["view", str(path), "--html", str(page), *words]) == 0
    return page.read_text()


def data_of(text: str) -> dict:
    return json.loads(re.search(r'id="hands">(.*?)</script>', text, re.DOTALL)[1])


def array(code: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(code), kind).reshape(-1, 3)


@pytest.mark.slow
def test_the_meshes_are_those_of_the_result_to_the_bit(write, model):
    path = write("photo.png")
    data, result = data_of(view(path)), th.load_result(path)
    for found, faces in zip(data["faces"], model.faces, strict=True):
        np.testing.assert_array_equal(array(found, "<u2"), close_wrist(faces))
    assert data["open_faces"] == len(model.faces[0])
    (picture,) = data["pictures"]
    there = np.argwhere(result.prediction.score > 0)
    assert [hand["side"] for hand in picture["hands"]] == there[:, 1].tolist()
    for hand, (person, side) in zip(picture["hands"], there, strict=True):
        expected = result.prediction.geometry.vertices[person, side]
        np.testing.assert_array_equal(array(hand["vertices"], "<f4"), expected)
    np.testing.assert_allclose(picture["focal"], [500, 510])
    np.testing.assert_allclose(picture["center"], [319.5, 239.5])


def test_hands_before_the_refinement_are_in_the_page(write, tmp_path):
    text = view(write("photo.png", by=0.02))
    first, second, *others = data_of(text)["pictures"][0]["hands"]
    for hand in (first, second):
        gap = array(hand["before"], "<f4") - array(hand["vertices"], "<f4")
        np.testing.assert_allclose(gap, [[0, 0, 0.02]] * 778, atol=2e-6)
    assert not any("before" in hand for hand in others)
    assert 'id="compare"' in text
    assert 'id="compare"' not in view(write("photo.png"), "--overwrite")


def test_the_page_needs_nothing_from_outside(write):
    text = view(write("photo.png"))
    tags(text)
    assert "http:" not in text and "https:" not in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "default-src 'none'" in text
    assert len(text) < 250_000


def test_the_picture_is_in_it_no_wider_than_a_screen(write, tmp_path):
    path = write("photo.png")
    large = np.zeros((3000, 4000, 3), np.uint8)
    shown = gallery.shown(gallery.load([path], mano.load()), 0, large)
    assert shown.image.shape == (768, 1024, 3)
    code = re.search(r"jpeg;base64,([^\"]+)", view(path))[1]
    data = np.frombuffer(base64.b64decode(code), np.uint8)
    found = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert abs(found[9, 9].astype(int) - (200, 40, 90)).max() < 8


def test_names_from_outside_are_text(write):
    text = view(write(HOSTILE, picture=False))
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert tags(text).count("script") == 2


@pytest.mark.parametrize("name", ["\udcff.jpg", "a" * 5000 + ".jpg", "\0.jpg", ""])
def test_odd_names_of_pictures_that_are_gone(write, name):
    assert "Shown without the picture" in view(write(name, picture=False))


def test_numbers_of_each_person(write):
    text = view(write("photo.png")).replace("<wbr>", "")
    assert "<th>hand</th>" in text and "person</th>" in text
    assert text.count("<tr>") == 5  # a header and four hands
    assert "run up to 1.2 mm into each other; the two-hand prior moved them" in text
    assert "Person 1: the wrists" in text and "Person 2" not in text


def test_several_results_are_one_page_also_without_hands(write, tmp_path):
    write("a.png")
    write("b.png", seed=1, is_empty=True)
    text = view(tmp_path)
    assert [len(one["hands"]) for one in data_of(text)["pictures"]] == [4, 0]
    assert 'id="number"' in text and 'alt="b.png"' in text
    assert "No hands were found." in text


@pytest.mark.parametrize("change", ["gone", "other size", "no image"])
def test_without_the_picture_the_hands_show_all_the_same(write, tmp_path, change):
    path = write("photo.png")
    if change == "gone":
        (tmp_path / "photo.png").unlink()
    elif change == "other size":
        Image.new("RGB", (10, 10)).save(tmp_path / "photo.png")
    else:
        (tmp_path / "photo.png").write_text("no picture")
    text = view(path)
    assert "Shown without the picture" in text and "<img" not in text
    assert len(data_of(text)["pictures"][0]["hands"]) == 4


def refused(capsys, *words) -> str:
    assert cli.main(["view", *map(str, words)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("twohand view: ") and told.count("\n") == 1
    return told


def test_bad_input_is_one_sentence(write, tmp_path, capsys, monkeypatch):
    path, page = write("photo.png"), tmp_path / "page.html"
    assert "no result file" in refused(capsys, tmp_path / "no.json", "--html", page)
    assert ".html" in refused(capsys, path, "--html", tmp_path / "page.png")
    (tmp_path / "boxes.json").write_text("{}")
    boxes = tmp_path / "boxes.json"
    assert "not a result file" in refused(capsys, boxes, "--html", page)
    page.write_text("mine")
    assert "--overwrite" in refused(capsys, path, "--html", page)
    assert page.read_text() == "mine"
    monkeypatch.setattr(gallery, "MOST_PICTURES", 0)
    assert "at most" in refused(capsys, path, "--html", page, "--overwrite")
