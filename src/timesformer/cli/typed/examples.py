"""What people type: the examples at the end of every command's help."""

EXAMPLES = {
    "train": (
        ("timesformer train clips", "choose all settings by the data"),
        ("timesformer train clips --init dinov2-small --out run", "start from image weights"),
        ("timesformer train clips --recipe k400-base --epochs 5", "start from a recipe and change a setting"),
        ("timesformer train clips --out run --resume", "continue an interrupted run"),
        ("torchrun --nproc-per-node 8 -m timesformer train clips", "train on eight GPUs"),
    ),
    "evaluate": (
        ("timesformer evaluate run clips", "measure a run on the test videos"),
        ("timesformer evaluate k400-base clips --clips 1 --crops 3", "measure published weights as the paper does"),
    ),
    "predict": (
        ("timesformer predict run video.mp4", "show the five most likely classes"),
        ("timesformer predict k400-base videos --json --top 3", "print one line of JSON for each video of a folder"),
        (
            "timesformer predict run long.mp4 --timeline --out long.srt",
            "show when each class is seen",
        ),
    ),
    "embed": (
        ("timesformer embed run clips", "write a vector for each video to features.npz"),
        ("timesformer embed dinov2-small clips --out dinov2.parquet", "use an image model, and write a table"),
        ("timesformer embed run clips --per frame --out frames.npz", "write a vector for each frame that is seen"),
    ),
    "neighbours": (
        (
            "timesformer neighbours features.npz wave/001.mp4 --out sheet.png",
            "show a video's nearest five, and draw them",
        ),
        ("timesformer neighbours features.npz --all", "measure what the features say of the classes"),
    ),
    "map": (
        ("timesformer map features.npz", "draw all videos by t-SNE, coloured by class"),
        ("timesformer map features.npz --out map.html", "write a page that shows the frame of every point"),
        ("timesformer map image.npz space.npz divided.npz", "compare models side by side, as figure 8 of the paper"),
    ),
    "explain": (
        ("timesformer explain run video.mp4", "show how much each frame counts for the predicted class"),
        ("timesformer explain run video.mp4 --out look.mp4 --out look.png", "write a film and a picture"),
        ("timesformer explain run video.mp4 --class wave --out look.gif", "show what speaks for a class"),
    ),
    "report": (
        ("timesformer report run", "write run/report.html again"),
        ("timesformer report run --split test --out test.html", "show what the model makes of the test videos"),
    ),
    "convert": (
        ("timesformer convert TimeSformer_divST_8x32_224_K400.pyth model.safetensors", "read the official file"),
        ("timesformer convert run folder --to huggingface", "write a folder for transformers"),
    ),
    "inspect": (
        ("timesformer inspect run/best.safetensors", "show the model, its clips and its classes"),
        ("timesformer inspect teacher.pth --key teacher --heads 6", "choose a model of a file with several"),
    ),
    "zoo": (
        ("timesformer zoo", "list the published checkpoints and image models"),
        ("timesformer zoo k400-base", "show where one comes from and where its file belongs"),
    ),
    "cost": (
        ("timesformer cost", "the paper's base model"),
        ("timesformer cost --scheme joint --frames 16 --size 448", "another scheme, longer and larger clips"),
    ),
    "recipes": (
        ("timesformer recipes", "list all recipes"),
        ("timesformer recipes k400-base > mine.toml", "save a recipe, to edit it for `train --config mine.toml`"),
    ),
    "scan": (
        ("timesformer scan clips", "name broken, short and repeated videos"),
        ("timesformer scan clips --out cleaned.csv", "write a list without them, for `train cleaned.csv`"),
    ),
    "prepare": (
        ("timesformer prepare clips prepared", "make small videos that are read fast"),
        ("timesformer prepare clips prepared --short-side 320 --crf 18", "keep more detail"),
    ),
    "shards": (
        ("timesformer shards prepared shards", "pack a data set into tar files"),
        ("timesformer shards prepared shards --megabytes 1000", "make fewer and larger files"),
    ),
    "demo": (("timesformer demo", "run everything on generated videos, in a folder named demo"),),
}
"""For each command, lines to type and what each of them does."""


def text(command: str) -> str:
    """The examples of a command, as they are printed below its help."""
    lines = [f"  {line}\n      {what[0].upper()}{what[1:]}." for line, what in EXAMPLES[command]]
    return "\n".join(["Examples:", *lines])
