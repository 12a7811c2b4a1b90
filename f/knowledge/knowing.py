# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Whether what was found is near enough to a question to be about it. Pure.

The nearest passage's cosine tells it by itself about as well as together with anything else that was tried: the share
of the question's words that are found, BM25, the lead before the other passages. docs/knowledge.md has the curve. It
cannot tell that a passage about the same thing lacks the answer: the model says that.
"""

from collections.abc import Mapping
from typing import Any

#: Below it nothing is known, by embedding model. The first is measured (`./dev eval`). The other one is not:
#: its cosines spread wider and lower, and this only keeps away what has nothing to do with the question.
THRESHOLDS = {"multilingual-e5-small": 0.805, "text-embedding-3-small": 0.2}

#: How much nearer than before later knowledge must be to answer an open question.
LEAD = 0.01


def threshold_of(chatbot: Mapping[str, Any]) -> float:
    """The chatbot's own threshold, or its embedding model's."""
    own = chatbot["knowledge_threshold"]
    return THRESHOLDS[chatbot["embedding_model"]] if own is None else float(own)


def is_near(nearest: float | None, threshold: float) -> bool:
    """Without vectors (None) nobody can tell, and what words have found counts."""
    return nearest is None or nearest >= threshold


def is_answered(nearest: float, before: float, threshold: float) -> bool:
    """Whether what is known now answers a question that was open when `before` was the nearest."""
    return nearest >= max(threshold, before + LEAD)
