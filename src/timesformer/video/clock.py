"""Times within a video as people and subtitles write them."""


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours as well: "0:07.5", "1:02:07.5"."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest // 10:02}.{rest % 10}"
    return f"{hours}:{minutes:02}:{text}" if hours else f"{minutes}:{text}"


def subtitle(seconds: float, point: str) -> str:
    """The time of a cue: "00:01:02,500" with the point of SubRip, "00:01:02.500" with that of WebVTT."""
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"
