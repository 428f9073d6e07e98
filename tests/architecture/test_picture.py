import pytest

from tests.architecture import picture


def test_the_picture_shows_today_s_imports():
    """Draw it again with ``python -m tests.architecture.picture``."""
    assert picture.PICTURE.read_text() == picture.draw()


@pytest.mark.slow
def test_every_box_is_explained():
    assert picture.graph().keys() == picture.ABOUT.keys()


def test_boxes_stand_above_what_they_import():
    edges = picture.graph()
    boxes = picture.places(edges)
    for part, others in edges.items():
        assert all(boxes[part][1] < boxes[other][1] for other in others)
