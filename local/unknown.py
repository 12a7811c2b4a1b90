"""The curve of not knowing: at which threshold a chatbot still answers what it knows and refuses what it does not.

What a threshold is compared with is the product's own `Found.nearest`. Each set asks itself its own questions, which it
can answer; those of the other sets and of its `out_of_scope.jsonl`, which are about something else; and once more its
own, as if the passages that answer them were missing: about the same thing, and not answered. Pure.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from f.knowledge.embeddings import LOCAL
from f.knowledge.knowing import THRESHOLDS, is_near

#: Thresholds that are tried beside the product's own.
STEPS = [round(0.70 + 0.01 * step, 2) for step in range(23)]

#: Share of the questions in scope that have to be answered, in the mean of the sets; and how often such a question has
#: to be nearer to its set than one about something else. At which threshold to refuse is then a matter of taste.
ANSWERED, APART = 0.97, 0.95

#: Characters of a bar.
WIDTH = 20


@dataclass
class Cosines:
    """Of the passage nearest to each question, by what kind of question it is."""

    known: list[float] = field(default_factory=list)
    elsewhere: list[float] = field(default_factory=list)
    missing: list[float] = field(default_factory=list)


def curve(cosines: Mapping[str, Cosines]) -> dict[str, Any]:
    """Shares by threshold, of each set and in their mean: answered of what is known, refused of the two others.

    `apart`: how often a known question is nearer than one of the others, .5 by chance; a threshold has no part in it.
    A set without questions of a kind has None there, and does not count in the mean.
    """
    own = THRESHOLDS[LOCAL]
    thresholds = sorted({*STEPS, own})
    sets = {name: [_shares(one, threshold) for threshold in thresholds] for name, one in cosines.items()}
    mean = [_mean([points[place] for points in sets.values()]) for place in range(len(thresholds))]
    apart = {
        name: {kind: _apart(one.known, getattr(one, kind)) for kind in ("elsewhere", "missing")}
        for name, one in cosines.items()
    }
    found = {"threshold": own, "thresholds": thresholds, "mean": mean, "sets": sets}
    return found | {"apart": apart, "mean_apart": _mean(list(apart.values()))}


def _apart(known: Sequence[float], others: Sequence[float]) -> float | None:
    """The area under the ROC curve."""
    if not known or not others:
        return None
    ordered = sorted(others)
    below = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in known) / 2
    return round(below / (len(known) * len(others)), 4)


def _shares(cosines: Cosines, threshold: float) -> dict[str, float | None]:
    return {
        "answered": _share(cosines.known, threshold),
        "refused_elsewhere": _refused(cosines.elsewhere, threshold),
        "refused_missing": _refused(cosines.missing, threshold),
    }


def _share(values: Sequence[float], threshold: float) -> float | None:
    return round(fmean(is_near(value, threshold) for value in values), 4) if values else None


def _refused(values: Sequence[float], threshold: float) -> float | None:
    answered = _share(values, threshold)
    return None if answered is None else round(1 - answered, 4)


def _mean(points: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    known = {name: [value for point in points if (value := point[name]) is not None] for name in points[0]}
    return {name: round(fmean(values), 4) if values else None for name, values in known.items()}


def targets(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the product's threshold has to reach."""
    at = found["mean"][found["thresholds"].index(found["threshold"])]
    wanted = (
        ("share of questions in scope that are answered", ANSWERED, at["answered"]),
        ("questions in scope are nearer than others", APART, found["mean_apart"]["elsewhere"]),
    )
    return [{"name": n, "goal": goal, "value": v, "met": v >= goal} for n, goal, v in wanted if v is not None]


def plot(found: Mapping[str, Any]) -> str:
    """The mean curve for a terminal; > is the product's threshold."""
    heads = ("answered of what is known", "refused of what is elsewhere", "refused of what is missing")
    lines = [f"{'threshold':12}" + "".join(f"{head:{WIDTH + 10}}" for head in heads)]
    for threshold, point in zip(found["thresholds"], found["mean"], strict=True):
        mark = ">" if threshold == found["threshold"] else " "
        lines.append(f"{mark} {threshold:<10.3f}" + "".join(_bar(share) for share in point.values()).rstrip())
    shown = ", ".join(f"{name} {share}" for name, share in found["mean_apart"].items() if share is not None)
    return "\n".join([*lines, f"known questions are nearer than others: {shown or '-'} (.5 is chance)"])


def _bar(share: float | None) -> str:
    if share is None:
        return f"{'-':{WIDTH + 10}}"
    return f"{'#' * round(share * WIDTH):{WIDTH}} {share:6.1%}   "
