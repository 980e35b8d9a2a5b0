"""Segments follow the leading label, but not its flicker."""

import pytest
import torch

from timesformer.inference.timeline import files
from timesformer.inference.timeline.segments import Moments, Segment, moments, of_classes, of_labels

LABELS = ("a", "b", "c")


def parts(count: int) -> torch.Tensor:
    starts = torch.arange(count, dtype=torch.float64)
    return torch.stack([starts, starts + 1], dim=1)


def spelled(segments: tuple[Segment, ...]) -> str:
    return "".join(segment.label * round(segment.end - segment.start) for segment in segments)


def test_a_moment_has_the_mean_scores_of_the_windows_that_show_it() -> None:
    spans = torch.tensor([[0.0, 4.0], [2.0, 6.0], [7.0, 11.0]], dtype=torch.float64)
    found = moments(spans, torch.tensor([[1.0, 0.0], [0.0, 0.5], [0.2, 0.2]]), 11.5)
    assert found.parts.tolist() == [[0, 2], [2, 4], [4, 6], [6, 6.5], [6.5, 7], [7, 11], [11, 11.5]]
    assert found.scores.flatten().tolist() == pytest.approx([1, 0, 0.5, 0.25, 0, 0.5, 0, 0.5, *[0.2] * 6])


@pytest.mark.parametrize("duration", [3.0, 2.0005])
def test_moments_cover_the_video_once(duration: float) -> None:
    for spans in ([[1.0, 2.0]], [[0.0, 1.0], [1.0 + 1e-12, 2.0]], [[0.0, 2.0], [0.0, 2.0]]):
        count = len(spans)
        found = moments(torch.tensor(spans, dtype=torch.float64), torch.full((count, 1), 0.5), duration)
        assert found.parts[0, 0] == 0 and found.parts[-1, 1] == duration
        assert torch.equal(found.parts[1:, 0], found.parts[:-1, 1]) and (found.parts.diff(dim=1) > 0).all()
        assert (found.scores == 0.5).all()


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.1, 0.9, 0]], "aab"),
        ([[0.9, 0.1, 0], [0.49, 0.51, 0], [0.9, 0.1, 0]], "aaa"),  # ahead by too little
        ([[0.9, 0.1, 0], [0.44, 0.56, 0], [0.9, 0.1, 0]], "aba"),
        ([[0.9, 0.1, 0], [0.49, 0.51, 0], [0.3, 0.7, 0]], "abb"),  # the lead began in the second
        ([[0.9, 0.1, 0], [0.45, 0.48, 0.07], [0.3, 0.34, 0.36], [0, 0, 1]], "aacc"),
        ([[0.5, 0.5, 0], [0.45, 0.55, 0]], "ab"),
        ([[0.4, 0.4, 0.2]], "a"),
    ],
)
def test_a_label_changes_only_for_a_clear_lead(scores: list[list[float]], expected: str) -> None:
    found = of_classes(Moments(parts(len(scores)), torch.tensor(scores)), LABELS)
    assert spelled(found) == expected
    for segment in found:
        own = torch.tensor(scores)[round(segment.start) : round(segment.end), LABELS.index(segment.label)]
        assert segment.score == pytest.approx(float(own.mean()))


def test_several_labels_have_segments_of_their_own_that_may_overlap() -> None:
    a, b, c = [0.2, 0.45, 0.6, 0.45, 0.3], [0.9, 0.9, 0.1, 0.5, 0.5], [0.45, 0.45, 0.45, 0.45, 0.45]
    found = of_labels(Moments(parts(5), torch.tensor([a, b, c]).T), LABELS)
    assert [(each.label, each.start, each.end) for each in found] == [("b", 0, 2), ("a", 1, 4), ("b", 3, 5)]
    assert found[1].score == pytest.approx(0.5)
    assert of_labels(Moments(parts(5), torch.zeros(5, 3)), LABELS) == ()


def test_subtitles_show_one_text_at_a_time_and_keep_what_players_would_obey() -> None:
    segments = (Segment(0, 4, "a & <b>", 0.5), Segment(2, 6, "c --> d\n1", 1.0))
    assert files.srt(files.cues(segments)) == (
        "1\n00:00:00,000 --> 00:00:02,000\na & <b> 50%\n\n"
        "2\n00:00:02,000 --> 00:00:04,000\na & <b> 50%\nc -> d\\n1 100%\n\n"
        "3\n00:00:04,000 --> 00:00:06,000\nc -> d\\n1 100%\n"
    )
    vtt = files.vtt(files.cues(segments))
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.000\na &amp; &lt;b&gt; 50%\n\n00:00:02")
    assert "c --&gt; d\\n1 100%" in vtt
