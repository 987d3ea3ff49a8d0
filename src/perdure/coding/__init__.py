"""How do d chunks of data survive the loss of any m of n? By parity of whole arrays, from which the missing arrays are decoded.

`codec` determines the computation, over the field of `galois`; `kernels` chooses the code that computes it.
"""

from perdure.coding.codec import Codec

__all__ = ["Codec"]
