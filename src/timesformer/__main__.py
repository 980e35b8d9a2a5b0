"""``python -m timesformer``, as ``torchrun -m timesformer`` needs it."""

from timesformer.cli.main import main

if __name__ == "__main__":
    main()
