"""Which class names a mirror exchanges, found from many spellings, and which it leaves alone."""

from collections.abc import Sequence

import pytest

from timesformer.training.choose.sides import mirror_pairs, speaking_of_sides


@pytest.mark.parametrize(
    "pair",
    [
        ("V_Swiping_Left", "V_Swiping_Right"),
        ("CCW_Rotation", "CW_Rotation"),
        ("turn_left_leg", "turn_right_leg"),
        ("turnLeft2", "TurnRight2"),
        ("SWIPE-LEFT", "SWIPE-RIGHT"),
        ("swipeleft", "swiperight"),
        ("leftHand", "rightHand"),
        ("lefthand", "righthand"),
        ("moving leftwards", "moving rightwards"),
        ("step_L", "step_R"),
        ("L", "R"),
        ("stepL", "stepR"),
        ("lhs", "rhs"),
        ("rotate clockwise", "rotate counterclockwise"),
        ("rotateClockwise", "rotateAntiClockwise"),
        ("Turning Hand Clockwise", "Turning Hand Counter-Clockwise"),
        ("rotate_cw_90", "rotate_ccw_90"),
        ("Pushing something from left to right", "Pushing something from right to left"),
        ("tiltleft", "tiltright"),
        ("nach links wischen", "nach rechts wischen"),
        ("main gauche", "main droite"),
    ],
)
def test_two_names_that_differ_in_the_side_alone_are_a_pair(pair: tuple[str, str]) -> None:
    assert mirror_pairs([pair[0], "wave", pair[1]]) == [pair]
    assert mirror_pairs([pair[1], pair[0]]) == [pair[::-1]]


@pytest.mark.parametrize(
    "names",
    [
        ("write", "brush", "wright"),
        ("bright", "blight", "cleft"),
        ("swipe_left", "swipe right up"),
        ("swipe_left", "wave_right"),
        ("swipe_left2", "swipe_right3"),
        ("turning", "side kick"),
        ("left_then_right", "wave"),
        ("swipe_left", "swipe_right", "Swipe Right"),
        ("turn cw", "turn_ccw", "turn counterclockwise"),
        ("east coast swing", "west coast swing"),
        ("sign_L", "sign_M", "sign_R"),
        ("A", "L", "R"),
        ("1", "2"),
        (),
    ],
)
def test_other_names_are_none(names: Sequence[str]) -> None:
    assert mirror_pairs(names) == []


def test_upright_is_a_side_only_beside_upleft() -> None:
    assert mirror_pairs(["sit upright", "sit upleft"]) == [("sit upleft", "sit upright")]
    assert mirror_pairs(["sit upright", "sit down"]) == []


def test_every_pair_of_a_data_set_is_found_once_in_its_order() -> None:
    names = ("Pull", "CW_Rotation", "V_Swiping_Right", "CCW_Rotation", "Swiping_Up", "V_Swiping_Left", "Swiping_Down")
    found = mirror_pairs(names)
    assert found == [("CW_Rotation", "CCW_Rotation"), ("V_Swiping_Right", "V_Swiping_Left")]
    assert set(speaking_of_sides(names)) == {name for pair in found for name in pair}
