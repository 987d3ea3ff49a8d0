"""How does a user's state become bytes in a slot, with digests, and how do the bytes become the user's state again?"""
