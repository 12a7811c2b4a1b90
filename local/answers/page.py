"""The report as one page that needs nothing else: figures, targets, and every question with its reply and verdict."""

import json
from collections.abc import Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

#: How kinds and checks are called on the page.
KIND_NAMES = {
    "answerable": "One source answers it",
    "unanswerable": "Nothing answers it",
    "two_sources": "Two sources answer it",
    "other_language": "In another language",
    "typo": "Misspelled",
    "follow_up": "Goes on from before",
    "tool": "Needs a tool",
}
CHECK_NAMES = {
    "answered": "A model answered",
    "grounded": "Nothing invented",
    "cited": "Right sources cited",
    "facts": "Says what is expected",
    "refused": "Says that it does not know",
    "offered": "Offers a person",
    "tool": "Right tool called",
}


def html(report: Mapping[str, Any]) -> str:
    """`report` as `report.build` makes it."""
    questions = report["questions"]
    right = sum(one["right"] for one in questions)
    at = f"{datetime.fromisoformat(report['at']):%-d %B %Y, %H:%M %Z}"
    about = f"Model {escape(report['model'])}, {report['tokens']:,} tokens, {report['seconds']:.0f} s, {at}"
    missed = [target for target in report["targets"] if not target["met"]]
    outcome = f"{len(missed)} of {len(report['targets'])} goals missed" if missed else "Every goal is met"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Whole answers: {right} of {len(questions)} right</title>
<style>
{(HERE / "page.css").read_text()}</style>
</head>
<body>
<header>
<h1>Whole answers: {right} of {len(questions)} right</h1>
<p class="{"bad" if missed else "ok"}">{outcome}</p>
<p class="quiet">{about}</p>
</header>
<section class="tenants">{"".join(_tenant(slug, report) for slug in report["tenants"])}</section>
<h2>Kinds of questions</h2>
{_kinds(report)}
<h2>What was checked</h2>
{_checks(report)}
<h2 id="questions">Every question</h2>
{_filters(report)}
<main>
{"".join(_question(one, report["tenants"]) for one in questions)}</main>
<script>
{(HERE / "page.js").read_text()}</script>
</body>
</html>
"""


def _tenant(slug: str, report: Mapping[str, Any]) -> str:
    counts = [kind["tenants"][slug] for kind in report["kinds"].values()]
    asked, right = (sum(count[name] for count in counts) for name in ("asked", "right"))
    share = round(100 * right / asked) if asked else 0
    return (
        f'<div class="card"><p>{escape(report["tenants"][slug])}</p>'
        f'<p class="share">{share}% <small>{right} of {asked} right</small></p>'
        f'<div class="bar"><i style="width: {share}%"></i></div></div>'
    )


def _kinds(report: Mapping[str, Any]) -> str:
    head = "".join(f'<th class="number">{escape(name)}</th>' for name in report["tenants"].values())
    rows = []
    for kind, one in report["kinds"].items():
        counts = one["tenants"].values()
        pairs = "".join(_pair(count["right"], count["asked"]) for count in counts)
        share = sum(count["right"] for count in counts) / sum(count["asked"] for count in counts)
        rows.append(f"<tr><th>{escape(KIND_NAMES[kind])}</th>{pairs}{_reached(share, one['goal'])}</tr>")
    return _table(f'<th></th>{head}<th class="number">Share</th><th class="number">Goal</th>', "".join(rows))


def _checks(report: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(CHECK_NAMES[check])}</th>{_pair(one['passed'], one['made'])}"
        f"{_reached(one['passed'] / one['made'], one['goal'])}</tr>"
        for check, one in report["checks"].items()
    )
    head = "".join(f'<th class="number">{name}</th>' for name in ("Replies", "Share", "Goal"))
    return _table(f"<th></th>{head}", rows)


def _pair(part: int, whole: int) -> str:
    return f'<td class="number">{f"{part} of {whole}" if whole else "–"}</td>'


def _reached(share: float, goal: float | None) -> str:
    """Two cells: what was reached, coloured where there is a goal, and the goal."""
    colour = "" if goal is None else " ok" if round(share, 4) >= goal else " bad"
    return f'<td class="number{colour}">{share:.0%}</td><td class="number quiet">{f"{goal:.0%}" if goal else ""}</td>'


def _table(head: str, rows: str) -> str:
    return f'<div class="card scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _filters(report: Mapping[str, Any]) -> str:
    """Shown by the script, as nothing filters without it."""

    def choice(name: str, every: str, options: Mapping[str, str]) -> str:
        listed = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options.items())
        return f'<select name="{name}" aria-label="{every}"><option value="">{every}</option>{listed}</select>'

    failed = {check: f"Failed: {CHECK_NAMES[check].lower()}" for check in report["checks"]}
    return (
        '<form class="filters" hidden>'
        + choice("tenant", "Every tenant", report["tenants"])
        + choice("kind", "Every kind", {kind: KIND_NAMES[kind] for kind in report["kinds"]})
        + choice("verdict", "Right and wrong", {"wrong": "Wrong only", "right": "Right only", **failed})
        + '<input type="search" name="words" placeholder="Words" aria-label="Words">'
        + '<span id="count" class="quiet" role="status"></span></form>'
    )


def _question(one: Mapping[str, Any], tenants: Mapping[str, str]) -> str:
    verdict = "right" if one["right"] else "wrong"
    failed = [check for check, reason in one["checks"].items() if reason]
    why = "".join(f'<span class="why">{escape(one["checks"][check])}</span>' for check in failed)
    mark = (
        '<span class="mark ok" title="right">✓</span>'
        if one["right"]
        else '<span class="mark bad" title="wrong">✗</span>'
    )
    before = "".join(f'<span class="quiet">{escape(text)} › </span>' for text in one["before"])
    return (
        f'<details class="asked card" data-tenant="{escape(one["tenant"])}" data-kind="{one["kind"]}"'
        f' data-verdict="{verdict}" data-failed="{" ".join(failed)}">'
        f"<summary>{mark}<span>{before}<span>{escape(one['question'])}</span>"
        f'<span class="tags quiet"><span>{escape(tenants[one["tenant"]])}</span>'
        f"<span>{escape(KIND_NAMES[one['kind']])}</span></span>"
        f'<span class="tags">{why}</span></span></summary>'
        f'<div class="inside">{_conversation(one)}{_cited(one)}{_calls(one)}{_verdict(one)}{_expected(one)}</div>'
        "</details>\n"
    )


def _conversation(one: Mapping[str, Any]) -> str:
    said = [*one["before"], one["question"]]
    bubbles = "".join(f'<div class="bubble customer">{escape(text)}</div>' for text in said)
    return f'{bubbles}<div class="bubble bot">{escape(one["reply"]) or "(no reply)"}</div>'


def _cited(one: Mapping[str, Any]) -> str:
    if not one["cited"]:
        return "<h3>Cited</h3><p>No source</p>"
    passages = "".join(
        f'<details><summary>{escape(p["source"])}</summary><div class="passage">{escape(p["text"])}</div></details>'
        for p in one["cited"]
    )
    return f"<h3>Cited</h3>{passages}"


def _calls(one: Mapping[str, Any]) -> str:
    if not one["calls"]:
        return ""
    listed = "".join(
        f"<li><code>{escape(call['name'])} {escape(json.dumps(call['arguments'], ensure_ascii=False))}</code>"
        f" {escape(call['state'])}"
        f'<details><summary>Its answer</summary><div class="passage">{escape(call["result"])}</div></details></li>'
        for call in one["calls"]
    )
    return f"<h3>Tools</h3><ul>{listed}</ul>"


def _verdict(one: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><td class="{"bad" if reason else "ok"}">{"✗" if reason else "✓"}</td>'
        f"<td>{escape(CHECK_NAMES[check])}{f': {escape(reason)}' if reason else ''}</td></tr>"
        for check, reason in one["checks"].items()
    )
    took = f"{one['ms']} ms, {one['tokens']} tokens, {escape(one['model'])}"
    return f'<h3>Verdict</h3><table class="checks"><tbody>{rows}</tbody></table><p class="quiet">{took}</p>'


def _expected(one: Mapping[str, Any]) -> str:
    wanted = one["expected"]
    joint = " and " if one["kind"] == "two_sources" else " or "
    lines = [joint.join(wanted["sources"])] if wanted["sources"] else []
    lines += [" or ".join(f"“{text}”" for text in fact) for fact in wanted["facts"]]
    if wanted["tool"]:
        lines.append(f"{wanted['tool']['name']} {json.dumps(wanted['tool']['arguments'], ensure_ascii=False)}")
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h3>Expected</h3><ul>{listed}</ul>" if listed else ""
