"""Values in, files out: charts, HTML pages, strips of frames, and the palette that all of them share."""

import logging


def _is_not_about_its_folder(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(("mkdir -p failed", "Matplotlib created a temporary cache directory"))


# Without a folder that it can write to, matplotlib uses a temporary one: users of a cluster need no warning of that.
logging.getLogger("matplotlib").addFilter(_is_not_about_its_folder)
