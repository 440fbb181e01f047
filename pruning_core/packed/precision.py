"""How exactly a packed model keeps its numbers. No dependencies here: the service's spec names them too."""

from typing import Literal

Precision = Literal["fp32", "fp16", "int8"]
"""`fp32`: exactly as they are, whatever their type. `fp16`, `int8`: rounded."""
