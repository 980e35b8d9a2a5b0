"""The settings of a model, a clip and a training, their text form and their names; standard library only."""
