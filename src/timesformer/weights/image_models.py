"""Image transformers to start a training from, by name: their repository on the Hugging Face hub, size and licence."""

from dataclasses import dataclass

APACHE = "Apache 2.0"
HUB = "https://huggingface.co"
BY_HAND = "download the .json files and model.safetensors (or pytorch_model.bin)"


@dataclass(frozen=True)
class ImageModel:
    """A pretrained image transformer that its authors, or timm, publish on the Hugging Face hub."""

    name: str
    hub: str
    """Repository on the hub."""
    parameters: float
    """Millions of parameters, without any head or decoder."""
    licence: str = APACHE
    terms: str = ""
    """What else the publishers say about its use."""

    @property
    def page(self) -> str:
        """Where its files can be downloaded by hand."""
        return f"{HUB}/{self.hub}/tree/main"

    @property
    def about(self) -> str:
        """Origin and licence in a sentence."""
        return f"{self.name}: image model, {self.hub} on the Hugging Face hub; licence {self.licence}."

    def lines(self) -> list[str]:
        """Everything about it as text, one statement a line."""
        good_for = next(family.good_for for family in FAMILIES if self in family.models)
        return [
            f"{self.name}: image model, {self.parameters} million parameters",
            f"good for {good_for}",
            f"licence  {self.licence}" + (f"; {self.terms}" if self.terms else ""),
            f"hub      {self.hub}",
            f"train    timesformer train DATA --init {self.name}",
            f"by hand  {BY_HAND} from",
            f"         {self.page} into a folder; then --init FOLDER",
        ]


@dataclass(frozen=True)
class Family:
    """Image models that were trained in one way."""

    good_for: str
    models: tuple[ImageModel, ...]


_NO_DEPLOYMENT = "this is the licence of the code; the model card calls every deployed use out of scope"
_CONTRADICTION = "so say the authors' repository and timm's copy; this copy's page on the hub says Apache 2.0"

FAMILIES: tuple[Family, ...] = (
    Family(
        "the first to try: good features even while frozen (DINOv2, no labels)",
        (
            ImageModel("dinov2-small", "facebook/dinov2-small", 22.1),
            ImageModel("dinov2-base", "facebook/dinov2-base", 86.6),
            ImageModel("dinov2-large", "facebook/dinov2-large", 304.4),
        ),
    ),
    Family(
        "the same with four register tokens: cleaner attention maps",
        (
            ImageModel("dinov2-small-reg", "facebook/dinov2-with-registers-small", 22.1),
            ImageModel("dinov2-base-reg", "facebook/dinov2-with-registers-base", 86.6),
            ImageModel("dinov2-large-reg", "facebook/dinov2-with-registers-large", 304.4),
        ),
    ),
    Family(
        "fewer patches than DINOv2, so faster; trained on ImageNet (DINO, no labels)",
        (
            ImageModel("dino-small", "facebook/dino-vits16", 21.7),
            ImageModel("dino-base", "facebook/dino-vitb16", 85.8),
        ),
    ),
    Family(
        "scenes and objects; trained on images with captions (CLIP's image encoder)",
        (ImageModel("clip-base-16", "openai/clip-vit-base-patch16", 85.8, "MIT", _NO_DEPLOYMENT),),
    ),
    Family(
        "fine-tuning of all blocks; weak while frozen (masked autoencoder, no labels)",
        (ImageModel("mae-base", "facebook/vit-mae-base", 85.8, "CC-BY-NC 4.0", _CONTRADICTION),),
    ),
    Family(
        "the paper's kind of start: supervised on ImageNet-21K (timm's AugReg)",
        (
            ImageModel("vit-small-in21k", "timm/vit_small_patch16_224.augreg_in21k", 21.7),
            ImageModel("vit-base-in21k", "timm/vit_base_patch16_224.augreg_in21k", 85.8),
        ),
    ),
    Family(
        "a strong supervised start: ImageNet-21K, then 1K (DeiT III)",
        (ImageModel("deit3-base", "timm/deit3_base_patch16_224.fb_in22k_ft_in1k", 85.8),),
    ),
)
IMAGE_MODELS: tuple[ImageModel, ...] = tuple(model for family in FAMILIES for model in family.models)


def find(name: str) -> ImageModel | None:
    """The image model of a name or of a hub repository, or None."""
    return next((model for model in IMAGE_MODELS if name in (model.name, model.hub)), None)


def table() -> list[str]:
    """All of them as lines of at most 80 columns: the families, and a line for each model."""
    lines = [f"{'name':<14} {'params':>6} {'licence':<12} hub"]
    for family in FAMILIES:
        lines.append(f"- {family.good_for}")
        for model in family.models:
            lines.append(f"{model.name:<16} {f'{model.parameters:.0f}M':>4} {model.licence:<12} {model.hub}")
    return lines
