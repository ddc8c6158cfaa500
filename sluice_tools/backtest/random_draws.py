"""Random numbers that many runs share: the normal draws of a seed are the same for every policy and made once."""

from functools import lru_cache
from random import Random

CHUNK = 4096


class NormalDraws:
    """The standard normal numbers of a seed; `known` has the first of them and can be extended."""

    def __init__(self, seed: int) -> None:
        self.known: list[float] = []
        self._gauss = Random(seed).gauss  # noqa: S311 - a simulation

    def extend(self) -> None:
        """Append CHUNK more numbers to `known`."""
        gauss = self._gauss
        self.known += [gauss(0.0, 1.0) for _ in range(CHUNK)]


@lru_cache(maxsize=8)  # two seeds a world; a quarter of a million numbers take 8 MB
def normal_draws(seed: int) -> NormalDraws:
    """The numbers of a seed; equal seeds share them."""
    return NormalDraws(seed)
