"""How long a training will still take, by the time that its steps and validations took so far."""

import math

FEW = 60.0
"""Seconds of steps that an estimate rests on at least, so that one slow step changes it little."""


class Pace:
    """Steps counted with the times at which they ended, and validations between them.

    The first step is left out: it waits for workers to start and for what is set up once. Older steps count less, by
    half of the training so far, so that the estimate follows a machine that has become slower without jumping about.
    """

    def __init__(self, total: int, done: int = 0, *, validations: int = 0) -> None:
        self.total = total
        """Steps of the whole training."""
        self.validations = validations
        """How many validations there are in all, evenly spread; 0 for work without them."""
        self.done = done
        self.validated = done * validations // max(total, 1)
        self._began = self._last = math.nan
        self._seconds = self._steps = 0.0
        self._looked: list[float] = []

    def step(self, now: float, done: int) -> None:
        """Note that so many steps are done at a time in seconds."""
        if math.isnan(self._last):
            self._began = now
        elif done > self.done:
            seconds = now - self._last
            window = max(FEW, (now - self._began) / 2, 20 * seconds / (done - self.done))
            fade = math.exp(-seconds / window)
            self._seconds = self._seconds * fade + seconds
            self._steps = self._steps * fade + done - self.done
        self._last, self.done = now, done

    def validated_in(self, now: float, seconds: float) -> None:
        """Note a validation that ended at a time, and how long it took."""
        self.validated += 1
        self._looked.append(seconds)
        if not math.isnan(self._last):
            self._last = now

    def left(self) -> float | None:
        """Seconds that are left after the last step; None while nothing tells. See :attr:`to_validation`."""
        if not self._steps:
            return None
        each = self._seconds / self._steps
        if self.to_validation:
            ends = math.ceil((self.done + 1) * self.validations / self.total) * self.total // self.validations
            return (ends - self.done) * each
        looking = sum(self._looked) / len(self._looked) if self._looked else 0.0
        return (self.total - self.done) * each + (self.validations - self.validated) * looking

    @property
    def to_validation(self) -> bool:
        """Whether the time left is that to the first validation, before which nobody knows how long one takes."""
        return self.validations > 0 and not self._looked
