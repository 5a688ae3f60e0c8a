"""A film optimised frame by frame: what counts where, and that it holds still."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from artmirror.benchmarks.temporal.metric import squared_error
from artmirror.runtime.common.flow import dense_flow, dis_flow, trusted
from artmirror.runtime.common.pixels import Pixels
from artmirror.train.objective.vgg import VggFeatures
from artmirror.train.optimisation.descent import Iteration, PaintWeights
from artmirror.train.optimisation.film import Brought, FilmPlan, bring, long_term, paint_film, temporal_loss
from artmirror.train.optimisation.gatys import GramLook
from tests.train.conftest import smooth_picture
from tests.train.optimisation.test_gatys import picture

SIDE = 72


@dataclass
class InMemory:
    """A film whose frames move two pixels to the left each time, and what is painted of it."""

    pictures: dict[tuple[int, int], Pixels] = field(default_factory=dict)

    @classmethod
    def moving(cls, count: int) -> "InMemory":
        wide = smooth_picture((SIDE, SIDE + 2 * count), 3)
        return cls({(0, frame): np.ascontiguousarray(wide[:, 2 * frame : 2 * frame + SIDE]) for frame in range(count)})

    def has(self, number: int, frame: int) -> bool:
        return (number, frame) in self.pictures

    def read(self, number: int, frame: int) -> Pixels:
        return self.pictures[number, frame]

    def write(self, number: int, frame: int, picture: Tensor) -> None:
        self.pictures[number, frame] = (picture[0] * 255).round().byte().permute(1, 2, 0).numpy()


@pytest.fixture
def look(random_vgg: VggFeatures) -> GramLook:
    return GramLook([(picture(80, 96, 1), 1.0)], random_vgg, PaintWeights())


def brought(trust: list[float], value: float = 0.5) -> Brought:
    return Brought(torch.full((1, 3, 1, len(trust)), value), torch.tensor(trust).view(1, 1, 1, -1))


def test_further_back_counts_where_nothing_nearer_is_trusted() -> None:
    found = long_term([brought([1, 0, 0, 0.5]), brought([1, 1, 0, 1]), brought([1, 1, 1, 1])])
    assert [entry.trust.flatten().tolist() for entry in found] == [[1, 0, 0, 0.5], [0, 1, 0, 0.5], [0, 0, 1, 0]]


def test_the_temporal_loss_by_hand() -> None:
    term = temporal_loss([brought([1, 0], 0.5), brought([0, 0.5], 0.0)], torch.zeros(1, 3, 1, 2))
    pixels = torch.tensor([0.7, 0.2]).view(1, 1, 1, 2).repeat(1, 3, 1, 1)
    assert float(term(pixels)) == pytest.approx((0.2**2 + 0.5 * 0.2**2) / 2)


def test_a_painting_is_brought_to_where_its_content_is() -> None:
    film = InMemory.moving(4)
    film.write(1, 0, torch.from_numpy(1 - film.read(0, 0) / 255).permute(2, 0, 1)[None])
    entry = bring(film, 1, 0, 2)
    wanted = torch.from_numpy(1 - film.read(0, 2) / 255).permute(2, 0, 1)[None]
    assert entry.trust[..., 8:-12].mean() > 0.9
    assert (entry.trust * (entry.picture - wanted).abs()).mean() < 0.02
    assert entry.trust[..., -3:].mean() < 0.3  # what came into the picture


def test_it_holds_stiller_than_frames_by_themselves(look: GramLook) -> None:
    film, alone = InMemory.moving(4), InMemory.moving(4)
    plan = FilmPlan(first_iterations=15, iterations=8, temporal_weight=1e4)
    paint_film(4, film, look, plan)
    for frame in range(4):
        apart = InMemory({(0, 0): alone.read(0, frame)})
        paint_film(1, apart, look, plan)
        alone.pictures[1, frame] = apart.pictures[1, 0]

    def error(painted: InMemory) -> float:
        total = 0.0
        for frame in range(3):
            flow, back = dense_flow(painted.read(0, frame), painted.read(0, frame + 1), dis_flow)
            pair = painted.read(1, frame), painted.read(1, frame + 1)
            total += squared_error(*pair, flow, trusted(flow, back))
        return float(np.sqrt(total))

    assert error(film) < 0.5 * error(alone)


def test_passes_go_to_and_fro_and_what_is_there_stays(look: GramLook) -> None:
    film = InMemory.moving(3)
    plan = FilmPlan(first_iterations=2, iterations=1, passes=3)
    order: list[tuple[int, int]] = []

    def observe(number: int, frame: int, iteration: Iteration) -> None:
        if (number, frame) not in order:
            order.append((number, frame))

    stops: Callable[[], bool] = lambda: len(order) == 2  # noqa: E731
    paint_film(3, film, look, plan, observe=observe, should_stop=stops)
    assert sorted(film.pictures) == [(0, 0), (0, 1), (0, 2), (1, 0)]  # the one that was at work is not kept
    kept = film.read(1, 0).copy()
    order.clear()
    paint_film(3, film, look, plan, observe=observe)
    assert order == [(1, 1), (1, 2), (2, 2), (2, 1), (2, 0), (3, 0), (3, 1), (3, 2)]
    np.testing.assert_array_equal(film.read(1, 0), kept)


def test_after_a_cut_a_frame_begins_anew(look: GramLook) -> None:
    film = InMemory.moving(2)
    film.pictures[0, 1] = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    steps: list[tuple[int, int]] = []
    plan = replace(FilmPlan(), first_iterations=3, iterations=1)
    paint_film(2, film, look, plan, observe=lambda number, frame, iteration: steps.append((frame, iteration.step)))
    assert steps == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
