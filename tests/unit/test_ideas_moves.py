"""Moves of a recipe's parameters: legal, new, reproducible, and better than the best of as many random draws."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import pytest

from evo.config import ParamSpec
from evo.ideas.moves import SAME, SPREAD, Observation, change_in_words, next_move
from evo.ideas.space import Axis, Point, axis_of, latin, space_of
from evo.ideas.surrogate import Surrogate, expected_gain
from evo.workspace.params import apply_params
from evo.workspace.recipes import find_recipe, load_recipe, names, shipped

RATE = ParamSpec("float", default=1e-3, min=1e-5, max=1e-1)
SHARE = ParamSpec("float", default=0.2, min=0.0, max=1.0)
SPECS = {"rate": RATE, "beta": SHARE, "warmup": SHARE, "decay": RATE, "drop": SHARE, "scale": RATE}


def test_ranges_are_walked_on_the_scale_that_matters() -> None:
    space = space_of(
        {
            "rate": RATE,
            "wide": ParamSpec("float", default=5e-5, min=0, max=1),
            "batch": ParamSpec("int", default=8, min=1, max=512),
            "share": SHARE,
            "flag": ParamSpec("bool", default=True),
            "loss": ParamSpec("str", default="b", choices=["a", "b", "c"]),
            "text": ParamSpec("str", default="x"),
            "open": ParamSpec("int", default=3),
            "fixed": ParamSpec("int", default=10, min=1, max=100, tune=False),
        }
    )
    axes = {axis.name: axis for axis in space.axes}
    assert axes.keys() == {"rate", "wide", "batch", "share", "flag", "loss"}
    assert axes["rate"].value(0.5) == pytest.approx(1e-3)
    assert (axes["wide"].value(0.0), axes["wide"].value(1.0)) == (pytest.approx(5e-6), 5e-4)
    assert [axes["batch"].value(x) for x in (0.0, 1 / 3, 1.0)] == [1, 8, 512]
    assert axes["share"].value(0.25) == 0.25
    assert space_of({"open": ParamSpec("float", default=0.5, above=0, below=1)}).axes[0].value(1.0) < 1.0
    assert [axes["loss"].value(x) for x in (0.1, 0.5, 1.0)] == ["a", "b", "c"]
    assert space.params(space.point({})) == space.defaults
    assert axes["rate"].place(1.0) == 1.0


def test_where_a_recipe_says_where_to_look_nothing_else_is_looked_at() -> None:
    space = space_of(
        {
            "rate": ParamSpec("float", default=1e-6, above=0, max=1, search=[1e-7, 1e-5]),
            "group": ParamSpec("int", default=8, min=2, max=128, search=[4, 8, 16, 32]),
            "beta": ParamSpec("float", default=0.0, min=0, max=10, search=[0, 0.1]),
            "beside": ParamSpec("int", default=64, min=1, max=512, search=[4, 8, 16]),
            "beyond": ParamSpec("float", default=6.0, min=0, max=10, search=[1, 4]),
        }
    )
    ends = [space.params([0.0] * 5), space.params([1.0] * 5)]
    assert ends[0] == {"rate": 1e-7, "group": 4, "beta": 0.0, "beside": 4, "beyond": 1.0}
    assert ends[1] == {"rate": 1e-5, "group": 32, "beta": 0.1, "beside": 64, "beyond": 6.0}, "the default is never out"
    assert space.params(space.centre)["rate"] == 1e-6
    assert [space.axes[1].value(x) for x in (0.1, 0.4, 0.6, 0.9)] == [4, 8, 16, 32]
    assert all(isinstance(value, int) for value in (ends[0]["group"], ends[1]["beside"]))


def test_settings_of_an_adapter_are_moved_where_there_may_be_one() -> None:
    rank = ParamSpec("int", default=32, min=1, max=256)
    for default, tune, moves in (("full", False, False), ("lora", False, True), ("full", True, True)):
        method = ParamSpec("str", default=default, choices=["full", "lora", "qlora"], tune=tune)
        axes = [axis.name for axis in space_of({"method": method, "lora_rank": rank}).axes]
        assert ("lora_rank" in axes) == moves
    assert [axis.name for axis in space_of({"lora_rank": rank}).axes] == ["lora_rank"]


def test_no_rounding_leaves_the_range() -> None:
    """Three digits of .9995 are 1, and of 1001 they are 1000."""
    narrow = {"high": ParamSpec("float", default=0.5, min=0, max=0.9995), "low": ParamSpec("float", min=1001, max=1009)}
    space = space_of(narrow)
    assert space.params([1.0, 0.0]) == {"high": 0.9995, "low": 1001}


def test_a_shipped_recipe_is_searched_where_a_practitioner_would() -> None:
    """No move of a shipped recipe lies at what is merely legal: warmup of 50,000 steps, a temperature of .06."""
    usual = {
        "warmup": (0, 0.3), "temperature": (0.5, 1.5), "epochs": (0.5, 10), "batch_size": (1, 64), "samples": (2, 64),
        "group_size": (2, 64), "beta": (0, 1), "keep": (1, 16), "epsilon_high": (0.1, 1), "sft_weight": (0, 5),
        "desirable_weight": (0.5, 10),
    }  # fmt: skip
    for name in names(None):
        for axis in space_of(find_recipe(None, name).config.params).axes:
            ends = sorted([axis.value(0.0), axis.value(1.0)])
            if axis.name == "learning_rate":
                assert ends[1] <= 1e-3, name
            else:
                assert usual[axis.name][0] <= ends[0] < ends[1] <= usual[axis.name][1], (name, axis.name)
        sizes = find_recipe(None, name).config.params
        if "group_size" in sizes:  # groups stay whole
            step = sizes["batch_size"].default * sizes["gradient_accumulation"].default
            assert all(step % size == 0 for size in sizes["group_size"].search)


def test_a_latin_hypercube_has_one_point_in_each_layer() -> None:
    points = latin(random.Random(1), count=5, axes=3, margin=0.0)
    for axis in range(3):
        assert sorted(int(point[axis] * 5) for point in points) == [0, 1, 2, 3, 4]


def test_the_surrogate_goes_through_what_is_certain_and_is_unsure_far_away() -> None:
    points = [(0.0, 0.0), (1.0, 0.0), (0.5, 0.5)]
    model = Surrogate(points, [0.0, 1.0, 0.7], [1e-9] * 3)
    assert model.predict((1.0, 0.0)).mean == pytest.approx(1.0, abs=1e-3)
    assert model.predict((1.0, 0.0)).sd < 0.01 < model.predict((0.0, 1.0)).sd
    noisy = Surrogate(points, [0.0, 1.0, 0.7], [10.0] * 3)
    assert sum(noisy.predict(point).mean for point in points) == pytest.approx(1.7, abs=0.1)


def test_expected_improvement_has_its_known_values() -> None:
    model = Surrogate([(0.5,)], [0.0], [1e-9])
    far = model.predict((0.5,))._replace(mean=0.0, sd=1.0)
    assert expected_gain(far, 0.0) == pytest.approx(1 / math.sqrt(2 * math.pi))
    assert expected_gain(far._replace(mean=1.0), 0.0) == pytest.approx(1.0833, abs=1e-4)


def test_moves_of_every_shipped_recipe_are_legal() -> None:
    for name in names(None):
        config = find_recipe(None, name).config
        space = space_of(config.params)
        rng, seen = random.Random(3), []
        for k in range(SPREAD + 3 if space.axes else 0):
            move = next_move(space, seen, [], rng)
            assert move is not None
            required = {"argv": "true"} if "argv" in config.params else {}
            apply_params(config, move.params | required)
            seen.append(Observation(move.params, 0.01 * k, 1e-3))


def test_the_first_moves_spread_out_and_none_is_made_twice() -> None:
    space, rng = space_of(SPECS), random.Random(5)
    seen: list[Observation] = []
    running: list[dict[str, object]] = []
    for k in range(20):
        move = next_move(space, seen, running, rng)
        assert move is not None
        here = space.point(move.params)
        for other in [*(one.params for one in seen), *running]:
            assert max(abs(a - b) for a, b in zip(here, space.point(other), strict=True)) > SAME
        running.append(move.params)
        if k == 0:
            assert (move.params, move.why) == (space.defaults, "the recipe's defaults")
        if len(running) == 2:
            seen.append(Observation(running.pop(0), None if k == 2 else 0.02 * k, 2e-3))
    assert move is not None
    assert move.gain is not None
    before, after = {"rate": 1e-3, "beta": 0.2}, {"rate": 1e-2, "beta": 0.205, "drop": 0.9}
    assert change_in_words(space, before, after) == "moves drop 0.2 -> 0.9, rate 0.001 -> 0.01"
    assert change_in_words(space, before, before) == "moves nothing far"
    again = [next_move(space, seen, running, random.Random(9)) for _ in range(2)]
    assert again[0] == again[1]


def test_a_recipe_that_has_nothing_to_move_has_no_move() -> None:
    assert next_move(space_of({"argv": ParamSpec("str", required=True)}), [], [], random.Random(1)) is None
    flag = space_of({"flag": ParamSpec("bool", default=False)})
    both = [Observation({"flag": value}, 0.0, 1e-3) for value in (False, True)]
    assert next_move(flag, both, [], random.Random(1)) is None


def test_twelve_moves_beat_the_best_of_twelve_random_draws() -> None:
    """Six parameters with interactions and noise, another optimum in each world: by truth, in at least 14 of 20."""
    played = [_played(seed) for seed in range(20)]
    assert sum(one.chosen > one.best_draw for one in played) >= 14


def test_where_one_parameter_is_narrow_few_runs_go_to_the_faces_and_the_best_is_good() -> None:
    """The same with one axis eight times as steep. Without the fall of the prior mean: .58 and one value in eight."""
    played = [_played(seed, steep=8.0) for seed in range(20)]
    assert sum(one.chosen for one in played) / 20 >= 0.60
    assert sum(one.chosen > one.best_draw for one in played) >= 14
    places = [x for one in played for point in one.points for x in point]
    assert sum(min(x, 1 - x) < 0.02 for x in places) < 0.06 * len(places)


class _Played(NamedTuple):
    """True qualities of what was chosen and of the best draw; where the runs lay."""

    chosen: float
    best_draw: float
    points: list[Point]


def _played(seed: int, steep: float = 1.0) -> _Played:
    space, rng = space_of(SPECS), random.Random(seed)
    optimum = [rng.uniform(0.1, 0.9) for _ in SPECS]
    ties = [rng.uniform(-1.0, 1.0) for _ in SPECS]
    weights = [steep if k == seed % len(SPECS) else 1.0 for k in range(len(SPECS))]

    def truth(point: Point) -> float:
        d = [x - o for x, o in zip(point, optimum, strict=True)]
        bent = sum(t * a * b for t, a, b in zip(ties, d, d[1:], strict=False))
        return 0.2 + 0.65 * math.exp(-2.0 * (sum(w * x * x for w, x in zip(weights, d, strict=True)) + bent))

    def measured(point: Point) -> float:
        return sum(rng.random() < truth(point) for _ in range(200)) / 200

    drawn = [tuple(rng.random() for _ in SPECS) for _ in range(12)]
    seen: list[Observation] = []
    running: list[dict[str, object]] = []
    while len(seen) < 12:
        while len(running) < 2 and len(seen) + len(running) < 12:
            move = next_move(space, seen, running, rng)
            assert move is not None
            running.append(move.params)
        params = running.pop(0)
        seen.append(Observation(params, measured(space.point(params)) - 0.3, 2e-3))
    best = max(seen, key=lambda one: one.gain or -1.0)
    points = [space.point(one.params) for one in seen]
    return _Played(truth(space.point(best.params)), max(map(truth, drawn)), points)


def test_a_choice_has_no_middle_and_a_range_is_expected_to_be_worse_at_its_ends() -> None:
    flags = ParamSpec("str", default="a", choices=["a", "b", "c"])
    assert space_of({"rate": RATE, "loss": flags}).ranged == (True, False)
    points, values, noises = [(0.5, 0.5), (0.4, 0.6)], [0.0, 0.1], [10.0] * 2
    model = Surrogate(points, values, noises, ranged=(True, False))
    assert model.predict((0.5, 0.0)).mean == pytest.approx(model.predict((0.5, 1.0)).mean, abs=1e-3)
    # half of FALL, as one axis of two is at its end, times the deviation of the values, .05
    assert model.predict((0.5, 0.5)).mean - model.predict((1.0, 0.5)).mean == pytest.approx(0.05, abs=1e-3)


def test_what_still_runs_is_believed_where_it_is_predicted() -> None:
    model = Surrogate([(0.2, 0.2), (0.7, 0.6)], [0.0, 0.2], [1e-4] * 2)
    before, after = model.predict((0.9, 0.4)), model.believing([(0.9, 0.4)]).predict((0.9, 0.4))
    assert after.mean == pytest.approx(before.mean)
    assert after.sd < 0.01 < before.sd
    assert model.predict((0.9, 0.4)) == before


def test_an_axis_keeps_whole_numbers_whole() -> None:
    axis = Axis("n", 1, 30, True, True)
    assert all(isinstance(axis.value(x / 10), int) for x in range(11))


def test_a_rate_of_a_shipped_recipe_moves_around_its_default_and_not_from_a_thousandth_upwards() -> None:
    config = load_recipe(None, shipped() / "sft").config
    axis = axis_of("learning_rate", config.params["learning_rate"])
    assert axis is not None
    assert axis.is_log
    assert axis.low == pytest.approx(5e-6)
    assert axis.high == pytest.approx(5e-4)
    assert axis.place(5e-5) == pytest.approx(0.5)
