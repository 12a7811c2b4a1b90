"""Whole answers: golden questions asked of the product, and the replies judged. `./dev eval --answers`."""
