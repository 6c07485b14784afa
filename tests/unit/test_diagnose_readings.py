"""How a run was trained, as readings, and what each calls for."""

from __future__ import annotations

import pytest

from evo.diagnose.readings import Readings, SliceGain, advice, end_of_training, measured_key, saturation_of

TERMS = [{"name": "short", "max_length": 20}, {"name": "right", "scorer": "workspace"}]


def test_what_is_kept_is_the_end_of_training_and_unknown_things_are_left_out() -> None:
    """A28: the train reward is the term that is the workspace's own measure, over the last lines."""
    early = [{"step": step, "loss": 9.0, "rewards/right": 0.0} for step in range(20)]
    late = [{"step": 20 + i, "loss": 1.0, "reward": 1.5, "rewards/right": 0.5, "tokens": 10 * i} for i in range(20)]
    kept = end_of_training([*early, *late], TERMS)
    assert kept == {"loss": 1.0, "reward": 1.5, "steps": 39.0, "tokens": 190.0, "train_score": 0.5}
    assert "train_score" not in end_of_training(late, [{"name": "right", "scorer": "exact"}])
    assert end_of_training([{"step": True, "loss": None, "reward": "x"}], TERMS) == {}
    assert measured_key([]) == ""


def test_saturation_is_the_place_in_the_range_and_an_open_range_has_none() -> None:
    assert saturation_of(0.75, low=0.0, high=1.0) == 0.75
    assert saturation_of(5.0, low=0.0, high=20.0) == 0.25
    assert saturation_of(0.75, low=None, high=1.0) is None
    assert saturation_of(None, low=0.0, high=1.0) is None


@pytest.mark.parametrize(
    ("readings", "said"),
    [
        (Readings(saturation=0.99), "saturated at its upper end"),
        (Readings(saturation=0.01), "degenerate at its lower end"),
        (Readings(gap=0.2), "does not generalise"),
        (Readings(slices=[SliceGain("odd", -0.3, -0.1), SliceGain("even", -0.1, 0.2)]), "worse than its parent on odd"),
        (Readings(saturation=0.5, gap=0.09, slices=[SliceGain("odd", -0.1, 0.0)]), ""),
        (Readings(gap=-0.5), ""),
        (Readings(), ""),
    ],
)
def test_each_reading_names_its_fix_and_sound_ones_say_nothing(readings: Readings, said: str) -> None:
    """A28: reading → fix."""
    told = advice(readings, score_se=0.03, span=1.0)
    assert [said in each.reading for each in told] == ([True] if said else [])
    assert all(each.fix for each in told)


def test_a_gap_within_its_noise_is_none_and_less_is_better_turns_both_round() -> None:
    assert advice(Readings(gap=0.2), score_se=0.15, span=1.0) == []
    assert advice(Readings(gap=0.2), score_se=0.03, span=1.0, sign=-1.0) == []
    assert advice(Readings(gap=-0.2), score_se=0.03, span=1.0, sign=-1.0) != []
    worse = Readings(slices=[SliceGain("odd", 0.1, 0.3)])
    assert "odd" in advice(worse, score_se=0.1, span=1.0, sign=-1.0)[0].reading
    assert advice(worse, score_se=0.1, span=1.0) == []
