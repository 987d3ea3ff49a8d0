"""How do d chunks of data survive the loss of any m of n? Arrays to parity, and what is left back to arrays.

`codec` says what is to be computed, over the field of `galois`; `kernels` chooses the code that computes it.
"""

from perdure.coding.codec import Codec

__all__ = ["Codec"]
