"""What came of the questions: figures by tenant, kind and check, and the targets. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from local.answers.judging import CHECKS, Reply, Verdict
from local.golden import KINDS, Question

#: Shares of a kind's questions that have to be right. The demo model looks words up and knows no meaning: another
#: language than its documents' it can hardly read. What real models reach was not measured; these are what a business
#: should ask of them.
GOALS = {
    "demo": {
        "answerable": 0.35, "unanswerable": 0.75, "two_sources": 0.6, "other_language": 0.1, "typo": 0.7,
        "follow_up": 0.7, "tool": 0.8,
    },
    "real": dict.fromkeys(KINDS, 0.9),
}  # fmt: skip

#: Shares of all replies that have to pass a check: what is said must be true, whatever the model.
CHECK_GOALS = {"grounded": 0.98}


@dataclass(frozen=True)
class Asked:
    """A question, what came of it, and what that is worth."""

    tenant: str
    question: Question
    reply: Reply
    verdict: Verdict


def build(asked: Sequence[Asked], tenants: Mapping[str, str], model: str, seconds: float, at: str) -> dict[str, Any]:
    """The report; `tenants` are names by slug, `at` says when it began."""
    goals = goals_of(model)
    return {
        "at": at,
        "model": model,
        "seconds": round(seconds, 1),
        "tokens": sum(one.reply.tokens for one in asked),
        "tenants": dict(tenants),
        "kinds": {
            kind: {
                "goal": goals[kind],
                "tenants": {slug: _counted([one for one in of_kind if one.tenant == slug]) for slug in tenants},
            }
            for kind in KINDS
            if (of_kind := [one for one in asked if one.question.kind == kind])
        },
        "checks": {check: passed for check in CHECKS if (passed := _passed(asked, check))["made"]},
        "targets": list(targets(asked, model)),
        "questions": [_described(one) for one in asked],
    }


def goals_of(model: str) -> Mapping[str, float]:
    """Goals by kind."""
    return GOALS["demo" if model == "demo" else "real"]


def targets(asked: Sequence[Asked], model: str) -> Iterator[dict[str, Any]]:
    """For each kind and check of which something was asked."""
    goals = goals_of(model)
    for kind in KINDS:
        if rights := [one.verdict.is_right for one in asked if one.question.kind == kind]:
            yield _target(f"{kind}: share of right answers", goals[kind], rights)
    for check, goal in CHECK_GOALS.items():
        if made := [not one.verdict.checks[check] for one in asked if check in one.verdict.checks]:
            yield _target(f"share of {check} replies", goal, made)


def _target(name: str, goal: float, met: Sequence[bool]) -> dict[str, Any]:
    share = round(sum(met) / len(met), 4)
    return {"name": name, "goal": goal, "value": share, "met": share >= goal}


def _counted(asked: Sequence[Asked]) -> dict[str, int]:
    return {"asked": len(asked), "right": sum(one.verdict.is_right for one in asked)}


def _passed(asked: Sequence[Asked], check: str) -> dict[str, Any]:
    made = [one for one in asked if check in one.verdict.checks]
    passed = sum(not one.verdict.checks[check] for one in made)
    return {"made": len(made), "passed": passed, "goal": CHECK_GOALS.get(check)}


def _described(one: Asked) -> dict[str, Any]:
    question, reply = one.question, one.reply
    return {
        "tenant": one.tenant,
        "kind": question.kind,
        "before": list(question.before),
        "question": question.question,
        "expected": {
            "sources": list(question.sources),
            "facts": [list(fact) for fact in question.facts],
            "tool": dict(question.tool),
        },
        "reply": reply.text,
        "cited": [asdict(passage) for passage in reply.cited],
        "calls": [asdict(call) for call in reply.calls],
        "right": one.verdict.is_right,
        "checks": dict(one.verdict.checks),
        "ms": reply.ms,
        "tokens": reply.tokens,
        "model": reply.model,
    }


def table(report: Mapping[str, Any]) -> str:
    """The figures for a terminal."""
    slugs = list(report["tenants"])
    lines = [f"{'right / asked':20}" + "".join(f"{slug:>18}" for slug in slugs)]
    for kind, one in report["kinds"].items():
        pairs = (f"{one['tenants'][slug]['right']} / {one['tenants'][slug]['asked']}" for slug in slugs)
        lines.append(f"{kind:20}" + "".join(f"{pair:>18}" for pair in pairs))
    lines.append("")
    lines += [f"{check:20}{c['passed']} / {c['made']}" for check, c in report["checks"].items()]
    lines.append(f"\n{len(report['questions'])} questions, {report['tokens']} tokens, {report['seconds']} s\n")
    return "\n".join(lines)
