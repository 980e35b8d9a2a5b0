"""Facts of a model, a clip and a training, their text form and their names; nothing here needs a package."""
