"""Whole answers: golden questions asked of the product, and the replies judged. `./dev eval --answers`."""


class AnswersError(Exception):
    """The questions cannot be asked; the message says why."""
