"""The demo's picture: its acts' titles can be read, however long or short the acts are."""

from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation

from sluice_tools.demo.acts import ACTS
from sluice_tools.demo.timeline import ActSpan, Wait, draw
from sluice_tools.demo.watcher import Sample

pytestmark = pytest.mark.slow

START = 1_800_000_000.0
# Of a recorded demo, in seconds: acts 4 and 5, and 6 and 7, begin close to each other.
RECORDED = (26.0, 26.0, 21.0, 9.0, 22.0, 10.0, 12.0, 76.0)
LENGTHS = {
    "recorded": RECORDED,
    "all alike": (10.0,) * 8,
    "all but the first are a moment": (500.0, *(0.01,) * 7),
    "all but the last are a moment": (*(0.01,) * 7, 500.0),
    "ever shorter": tuple(2.0**-n for n in range(8)),
    "two moments amid": (60.0, 60.0, 0.1, 0.1, 60.0, 60.0, 0.1, 60.0),
}


def story(lengths: tuple[float, ...]) -> tuple[ActSpan, ...]:
    """The demo's acts, so many seconds each."""
    begins = [START + sum(lengths[:n]) for n in range(len(lengths))]
    return tuple(
        ActSpan(n + 1, act.title, began, began + length)
        for n, (act, began, length) in enumerate(zip(ACTS, begins, lengths, strict=True))
    )


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_titles_of_acts_overlap_nothing_whatever_the_acts_lengths(lengths: tuple[float, ...]) -> None:
    """No title touches another one, leaves the picture, or lies on the axes; each is there."""
    samples = [Sample(START + at, at, 2, 0, 0, 2, 1, 1, 1, 0.0) for at in range(0, 60, 5)]
    figure = draw(samples, story(lengths), [Wait(START + 1, 2.0, counted=True)], 20.0)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    labels = [child for child in figure.axes[0].get_children() if isinstance(child, Annotation)]
    assert sorted(label.get_text() for label in labels) == [f"{n} {act.title}" for n, act in enumerate(ACTS, 1)]
    boxes = {label.get_text(): label.get_bbox_patch().get_window_extent() for label in labels}  # type: ignore[union-attr]
    touching = [(one, other) for one, other in combinations(boxes, 2) if boxes[one].overlaps(boxes[other])]
    assert not touching
    axes, picture = figure.axes[0].get_window_extent(), figure.bbox
    for title, box in boxes.items():
        assert box.y0 >= axes.y1, f"{title} lies on the axes"
        assert picture.x0 <= box.x0 <= box.x1 <= picture.x1, f"{title} leaves the picture"
        assert box.y1 <= picture.y1, f"{title} leaves the picture"
