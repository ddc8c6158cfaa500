"""Random numbers that many runs share: a seed's normal draws are the same for every policy, so they are made once."""

from functools import lru_cache
from random import Random

CHUNK = 4096


class NormalDraws:
    """Standard normal numbers of a seed, by place; as many as are asked for."""

    def __init__(self, seed: int) -> None:
        self.known: list[float] = []
        self._gauss = Random(seed).gauss  # noqa: S311 - a simulation

    def extend(self) -> None:
        """Know some more."""
        gauss = self._gauss
        self.known += [gauss(0.0, 1.0) for _ in range(CHUNK)]


@lru_cache(maxsize=8)  # two seeds a world; a quarter of a million numbers take 8 MB
def normal_draws(seed: int) -> NormalDraws:
    """The numbers of a seed."""
    return NormalDraws(seed)
