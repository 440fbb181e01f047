"""Powers of two in eighths, the same to the last bit on every machine."""

import numpy as np
from numpy.typing import NDArray

#: 2^0 … 2^(7/8), written out: what a power function rounds to differs from machine to machine.
_EIGHTHS = np.array(
    [
        1.0,
        1.0905077326652577,
        1.189207115002721,
        1.2968395546510096,
        1.4142135623730951,
        1.5422108254079407,
        1.681792830507429,
        1.8340080864093424,
    ]
)


def power_of_two(eighths: NDArray[np.int64]) -> NDArray[np.float64]:
    """2^(eighths / 8), elementwise."""
    powers: NDArray[np.float64] = np.ldexp(_EIGHTHS[eighths & 7], eighths >> 3)
    return powers
