"""AdamW: Adam whose weight decay does not pass through the running means (I. Loshchilov, F. Hutter, "Decoupled weight
decay regularization", ICLR 2019, algorithm 2).
"""

from collections.abc import Mapping
from typing import Any

from optitrip.core.arrays import Array
from optitrip.methods.descent.rule import Stepped
from optitrip.methods.descent.rules import adam

init = adam.init


def update(
    x: Array, gradient: Array, state: Mapping[str, Array], rate: float, *, weight_decay: float = 1e-2, **options: Any
) -> Stepped:
    """Shrink x by the share rate * weight_decay, then take a step of Adam; its options are those of Adam."""
    return adam.update(x * (1 - rate * weight_decay), gradient, state, rate, **options)
