"""The generator from parts of videos to what a model computes of each video."""

from collections.abc import Iterator

import torch
from torch import Tensor

from timesformer.inference.answers import answers
from timesformer.inference.parts import Part, filled, joined


def part(*counts: tuple[int, int], ended: tuple[int, ...] = (), **said: object) -> Part:
    """A part of (video, views) pairs, whose views hold the number of their video."""
    views = torch.cat([torch.full((count, 1), float(number)) for number, count in counts]) if counts else torch.empty(0)
    numbers, each = tuple(number for number, _ in counts), tuple(count for _, count in counts)
    return Part(numbers, each, ended, views, **said)  # type: ignore[arg-type]


def doubled(views: Tensor) -> Tensor:
    return 2 * views


def test_each_video_is_answered_once_with_all_its_views_as_soon_as_it_ends() -> None:
    parts = [part((0, 2)), part((0, 1), (1, 2), ended=(0,)), part((1, 1), ended=(1,))]
    handed: list[int] = []

    def reading() -> Iterator[Part]:
        for number, each in enumerate(parts):
            handed.append(number)
            yield each

    stream = answers(reading(), doubled)
    first = next(stream)
    assert (first.number, first.outputs.tolist(), handed) == (0, [[0.0]] * 3, [0, 1])
    assert [(each.number, each.outputs.tolist()) for each in stream] == [(1, [[2.0]] * 3)]


def test_a_video_that_breaks_off_is_a_failure_without_outputs() -> None:
    parts = [part((0, 2), notes={0: ("dark",)}), part(failed={0: "breaks off"}), part((1, 1), ended=(1,))]
    broken, fine = answers(parts, doubled)
    assert (broken.failed, len(broken.outputs), broken.notes) == ("breaks off", 0, ("dark",))
    assert (fine.failed, fine.notes) == ("", ())


def test_notes_of_all_parts_are_told_once_and_apart_from_remarks() -> None:
    parts = [part((0, 1), notes={0: ("a",)}, remarks={0: ("r",)}), part((0, 1), ended=(0,), notes={0: ("a", "b")})]
    for given in (parts, [joined(parts)]):
        (found,) = answers(given, doubled)
        assert (found.notes, found.remarks) == (("a", "b"), ("r",))


def test_short_videos_share_a_forward_pass_and_none_is_left_behind() -> None:
    parts = [part((number, 3), ended=(number,)) for number in range(5)]
    joint = list(filled(parts, 6))
    assert [each.numbers for each in joint] == [(0, 1), (2, 3), (4,)]
    assert [len(each.views) for each in joint] == [6, 6, 3]
