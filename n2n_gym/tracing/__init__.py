"""From any torch module to an architecture with its weights: read call by call, proved equal, or refused with the place."""

from n2n_gym.tracing.places import Place
from n2n_gym.tracing.trace import Traced, trace

__all__ = ["Place", "Traced", "trace"]
