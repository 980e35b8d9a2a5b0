"""Validation videos are chosen reproducibly, class by class, and groups stay on one side."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timesformer.data.items import DataError, Item
from timesformer.data.splits import complete, hold_out, shared


def item(number: int, label: str | tuple[str, ...] | tuple[float, ...], *, group: str = "", split: str = "") -> Item:
    return Item(Path(f"/data/{number}.mp4"), label, split=split, group=group, name=f"{number}.mp4")


def counts(items: tuple[Item, ...], split: str) -> Counter[object]:
    return Counter(item.label for item in items if item.split == split)


def test_every_class_keeps_its_share_however_unequal_the_classes() -> None:
    labels = ["common"] * 100 + ["rare"] * 10 + ["pair"] * 2 + ["single"]
    divided = hold_out([item(number, label) for number, label in enumerate(labels)], share=0.2)
    assert counts(divided, "val") == {"common": 20, "rare": 2, "pair": 1}
    assert counts(divided, "train")["single"] == 1


def test_the_choice_depends_on_names_and_seed_not_on_order_or_place() -> None:
    items = [item(number, "ab"[number % 2]) for number in range(40)]
    chosen = {i.name for i in hold_out(items, seed=1) if i.split == "val"}
    moved = [replace(i, path=Path("/elsewhere") / i.path.name) for i in reversed(items)]
    assert {i.name for i in hold_out(moved, seed=1) if i.split == "val"} == chosen
    assert {i.name for i in hold_out(items, seed=2) if i.split == "val"} != chosen


def test_adding_a_video_hardly_changes_who_validates() -> None:
    items = [item(number, "a") for number in range(100)]
    before = {i.name for i in hold_out(items) if i.split == "val"}
    after = {i.name for i in hold_out([*items, item(100, "a")]) if i.split == "val"}
    assert len(before & after) >= len(before) - 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "p", "q", "r", "s"])), min_size=8, max_size=60),
    st.integers(0, 3),
)
def test_groups_stay_whole_and_no_class_loses_its_training(rows: list[tuple[str, str]], seed: int) -> None:
    items = [item(number, label, group=group) for number, (label, group) in enumerate(rows)]
    units = {label: {i.unit for i in items if i.label == label} for label, _ in rows}
    only = {next(iter(of_class)) for of_class in units.values() if len(of_class) == 1}
    if only == {i.unit for i in items}:
        with pytest.raises(DataError, match="no validation videos"):
            hold_out(items, seed=seed)
        return
    divided = hold_out(items, seed=seed)
    sides = {split: {i.unit for i in divided if i.split == split} for split in ("train", "val")}
    assert sides["val"] and not sides["train"] & sides["val"]
    assert set(counts(divided, "train")) == set(units)


def test_every_class_with_two_groups_validates() -> None:
    items = [item(10 * g + n, label, group=f"{label}{g}") for label in "abc" for g in range(2) for n in range(9)]
    assert counts(hold_out(items), "val") == {"a": 9, "b": 9, "c": 9}


def test_groups_that_hold_every_class_give_each_class_its_share() -> None:
    items = [item(100 * person + n, "abcd"[n % 4], group=f"p{person}") for person in range(10) for n in range(8)]
    assert counts(hold_out(items, share=0.2), "val") == dict.fromkeys("abcd", 4)


def test_one_huge_group_is_not_held_out() -> None:
    items = [item(n, "a", group="huge") for n in range(80)] + [item(100 + n, "a", group=f"g{n}") for n in range(20)]
    for seed in range(5):
        divided = hold_out(items, seed=seed)
        assert counts(divided, "val") == {"a": 20} and all(i.split == "train" for i in divided[:80])


def test_stretches_of_one_video_stay_together() -> None:
    items = [replace(item(n // 4, "a"), start=float(n % 4), end=n % 4 + 1.0) for n in range(40)]
    divided = hold_out(items)
    assert all(len({i.split for i in divided if i.name == f"{n}.mp4"}) == 1 for n in range(10))


def test_tags_and_numbers_are_divided_too() -> None:
    tags: list[tuple[str, ...]] = [("a", "b"), ("a",), (), ("b",)] * 10
    divided = hold_out([item(number, label) for number, label in enumerate(tags)])
    held = Counter(name for i in divided if i.split == "val" for name in i.label)
    assert 2 <= held["a"] <= 6 and 2 <= held["b"] <= 6
    numbers = hold_out([item(number, (float(number),)) for number in range(10)])
    assert sum(i.split == "val" for i in numbers) == 2


def test_what_cant_be_divided_is_refused() -> None:
    with pytest.raises(DataError, match="no validation videos can be set aside: among 2 videos"):
        hold_out([item(0, "a"), item(1, "b")])
    with pytest.raises(DataError, match="no validation videos"):
        hold_out([item(0, "a", group="g"), item(1, "a", group="g")])
    with pytest.raises(DataError, match="share is 1"):
        hold_out([item(0, "a"), item(1, "a")], share=1.0)


def test_validation_is_taken_from_train_and_test_stays_untouched() -> None:
    items = [item(n, "ab"[n % 2], split="test" if n < 10 else "train") for n in range(30)]
    divided, notes = complete(items)
    assert [i.name for i in divided] == [i.name for i in items]
    assert all(i.split == "test" for i in divided[:10])
    assert counts(divided, "val") == {"a": 2, "b": 2}
    assert notes == ("no validation split: 4 of 20 training videos validate (seed 0)",)


def test_given_splits_stay_and_what_stands_in_is_noted() -> None:
    items = [item(n, "a", split="train" if n else "val") for n in range(4)]
    assert complete(items) == (tuple(items), ("no test split: test is the validation split",))
    for splits in (("train", "val", "test"), ("test",)):
        given_items = tuple(item(n, "a", split=split) for n, split in enumerate(splits))
        assert complete(given_items) == (given_items, ())


def test_a_class_too_small_to_validate_is_noted() -> None:
    _, notes = complete([item(0, "lonely"), *(item(n, "a") for n in range(1, 6))])
    assert "too few videos or groups to validate lonely" in notes


def test_what_lies_on_both_sides_is_noted() -> None:
    splits = ("train", "val", "train", "test")
    items = [item(n, "a", group=group, split=s) for n, (group, s) in enumerate(zip("ppqq", splits, strict=True))]
    items.append(replace(items[0], split="val", group="", start=3.0))
    assert shared(items) == (
        "train and val share group p (1 group)",
        "train and val share video 0.mp4 (1 video)",
        "train and test share group q (1 group)",
    )
