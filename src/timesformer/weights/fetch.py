"""Files of named weights: where they were put by hand, or from the Hugging Face hub."""

import logging
import textwrap
from pathlib import Path

from timesformer.weights import image_models, zoo
from timesformer.weights.formats.files import FOLDER_WEIGHTS
from timesformer.weights.report import WeightsError

log = logging.getLogger(__name__)


def published(entry: zoo.Published) -> Path:
    """Return a local path of a published checkpoint: the file in the cache folder, or a copy from the hub.

    Raises :class:`WeightsError` with the address to download from and the place to put the file, where no hub copy is
    known.
    """
    if entry.downloaded and entry.downloaded.is_file():
        return entry.downloaded
    by_hand = f"download {entry.file} from {entry.page} to {entry.place} (licence: {entry.licence})"
    if not entry.hub:
        raise WeightsError(f"{entry.name} is not on the hub: {by_hand}.")
    try:
        return from_hub(entry.hub)
    except WeightsError as error:
        raise WeightsError(f"{error} Or {by_hand}.") from error


def from_hub(repository: str) -> Path:
    """Return a local folder with a hub repository's configuration and weights: one format, safetensors before pickles.

    The licence of one that is listed here is logged before anything is downloaded. Files in the hub's cache are used;
    with HF_HUB_OFFLINE set, only those. Needs the extra ``hub``. Raises :class:`WeightsError` with the way by hand.
    """
    entry = zoo.published_on_hub(repository)
    by_hand = f" Or {image_models.BY_HAND} from {image_models.HUB}/{repository}/tree/main and give the folder."
    if isinstance(entry, zoo.Published):
        by_hand = ""  # `published` names the original file
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise WeightsError(
            f"{repository} is on the Hugging Face hub, which needs huggingface_hub: pip install 'timesformer[hub]'."
            f"{by_hand}"
        ) from error
    if entry is not None:
        log.warning("%s: taking %s from the Hugging Face hub; licence %s", entry.name, repository, entry.licence)
    try:
        for names in _formats():
            folder = Path(snapshot_download(repository, allow_patterns=["*.json", *names]))
            if any(path for name in names for path in folder.glob(name)):
                break
    except Exception as error:  # the hub's client also raises its HTTP library's own errors
        first = textwrap.shorten(str(error).strip().split("\n")[0], 160, placeholder=" ...")
        raise WeightsError(
            f"{repository} could not be fetched from the Hugging Face hub ({type(error).__name__}: {first}); "
            f"check the name, the network and HF_HUB_OFFLINE.{by_hand}"
        ) from error
    return folder


def _formats() -> list[tuple[str, str]]:
    """Patterns of the weights in each format that a folder may hold, one file or shards, in the order of preference."""
    safe_first = sorted(FOLDER_WEIGHTS, key=lambda name: not name.endswith(".safetensors"))
    return [(name, f"{Path(name).stem}-*{Path(name).suffix}") for name in safe_first]
