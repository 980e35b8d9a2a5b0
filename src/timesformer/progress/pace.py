"""Estimate how long work will still take, from the time that its steps and validations took so far."""

import math

FEW = 60.0
"""Seconds of steps that an estimate rests on at least, so that one slow step changes it little."""


class Pace:
    """Steps counted with the times at which they ended, and validations between them.

    The first step is left out: it waits for workers to start and for one-time setup. Older steps weigh less, by half of
    the work so far, so that the estimate follows a machine that has become slower without jumping about.
    """

    def __init__(self, total: int, done: int = 0, *, validations: int = 0) -> None:
        self.total = total
        """Steps of the whole work; 0 where it is unknown."""
        self.validations = validations
        """Number of validations, at equal distances; 0 for work without them."""
        self.done = done
        self.validated = done * validations // max(total, 1)
        self._began = self._last = math.nan
        self._seconds = self._steps = 0.0
        self._validation_seconds: list[float] = []

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
        self._validation_seconds.append(seconds)
        if not math.isnan(self._last):
            self._last = now

    def per_second(self) -> float | None:
        """Steps in a second of work, validations not counted; None while unknown."""
        return self._steps / self._seconds if self._seconds else None

    def left(self) -> float | None:
        """Seconds left after the last step, or only those to the first validation; None while unknown.

        :attr:`to_validation` says which of the two it is.
        """
        if not self._steps:
            return None
        each = self._seconds / self._steps
        if self.to_validation:
            ends = math.ceil((self.done + 1) * self.validations / self.total) * self.total // self.validations
            return (ends - self.done) * each
        known = self._validation_seconds
        validating = sum(known) / len(known) if known else 0.0
        return (self.total - self.done) * each + (self.validations - self.validated) * validating

    @property
    def to_validation(self) -> bool:
        """Whether the time left is that to the first validation: before it, nobody knows how long one takes."""
        return self.validations > 0 and not self._validation_seconds
