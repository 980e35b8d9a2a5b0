"""Random numbers from a torch generator on the CPU: the same state always gives the same numbers."""

import random

import torch


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def integer(count: int, generator: torch.Generator) -> int:
    """Draw an integer from 0 to ``count`` - 1."""
    return int(torch.randint(count, (), generator=generator))


def beta(alpha: float, generator: torch.Generator) -> float:
    """Draw from Beta(alpha, alpha); torch's own takes no generator, so the standard library's is seeded from ours."""
    return random.Random(integer(2**62, generator)).betavariate(alpha, alpha)
