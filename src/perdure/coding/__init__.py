"""How do d chunks of data survive the loss of any m of n? Arrays to parity, and what is left back to arrays."""

from perdure.coding.codec import Codec

__all__ = ["Codec"]
