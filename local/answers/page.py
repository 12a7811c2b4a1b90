"""The report as one page that needs nothing else: figures, targets, and every question with its reply and verdict."""

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from local.answers.judging import CHECKS
from local.golden import KINDS

HERE = Path(__file__).parent

#: How kinds and checks are called on the page.
KIND_NAMES = {
    "answerable": "one source answers",
    "unanswerable": "nobody can know",
    "two_sources": "two sources together",
    "other_language": "in another language",
    "typo": "misspelled",
    "follow_up": "goes on from before",
    "tool": "needs a tool",
}
CHECK_NAMES = {
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
    about = f"{len(questions)} questions to {len(report['tenants'])} tenants, {report['tokens']:,} tokens"
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
<p class="quiet">Model {escape(report["model"])}. {about}, {report["seconds"]:g} s, {escape(report["at"])}</p>
</header>
<section class="tenants">{"".join(_tenant(slug, report) for slug in report["tenants"])}</section>
<h2>Kinds of questions</h2>
{_kinds(report)}
<h2>What was checked</h2>
{_checks(report)}
<h2>Targets</h2>
{_targets(report)}
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
    asked = sum(by[slug]["asked"] for by in report["kinds"].values())
    right = sum(by[slug]["right"] for by in report["kinds"].values())
    share = round(100 * right / asked) if asked else 0
    return (
        f'<div class="card"><p>{escape(report["tenants"][slug])}</p>'
        f'<p class="share">{share} % <small>{right} of {asked} right</small></p>'
        f'<div class="bar"><i style="width: {share}%"></i></div></div>'
    )


def _kinds(report: Mapping[str, Any]) -> str:
    tenants = report["tenants"]
    head = "".join(f'<th class="number">{escape(name)}</th>' for name in tenants.values())
    rows = "".join(
        f"<tr><th>{escape(KIND_NAMES[kind])}</th>"
        + "".join(_pair(by[s]["right"], by[s]["asked"]) for s in tenants)
        + "</tr>"
        for kind, by in report["kinds"].items()
    )
    return _table(f"<th></th>{head}", rows)


def _checks(report: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(CHECK_NAMES[check])}</th>{_pair(one['passed'], one['made'])}</tr>"
        for check, one in report["checks"].items()
        if one["made"]
    )
    return _table('<th></th><th class="number">Replies</th>', rows)


def _pair(part: int, whole: int) -> str:
    return f'<td class="number">{f"{part} of {whole}" if whole else "–"}</td>'


def _targets(report: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th>{escape(one["name"])}</th><td class="number">{one["value"]:.0%}</td>'
        f'<td class="number">{one["goal"]:.0%}</td><td class="{"ok" if one["met"] else "bad"}">'
        f"{'met' if one['met'] else 'missed'}</td></tr>"
        for one in report["targets"]
    )
    return _table('<th></th><th class="number">Reached</th><th class="number">Goal</th><th></th>', rows)


def _table(head: str, rows: str) -> str:
    return f'<div class="card scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _filters(report: Mapping[str, Any]) -> str:
    """Shown by the script, as nothing filters without it."""

    def choice(name: str, every: str, options: Mapping[str, str]) -> str:
        listed = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options.items())
        return f'<select name="{name}" aria-label="{every}"><option value="">{every}</option>{listed}</select>'

    failed = {check: f"Failed: {CHECK_NAMES[check].lower()}" for check in CHECKS if report["checks"][check]["made"]}
    return (
        '<form class="filters" hidden>'
        + choice("tenant", "Every tenant", report["tenants"])
        + choice("kind", "Every kind", {kind: KIND_NAMES[kind] for kind in KINDS})
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
    return (
        f'<details class="asked card" data-tenant="{escape(one["tenant"])}" data-kind="{one["kind"]}"'
        f' data-verdict="{verdict}" data-failed="{" ".join(failed)}">'
        f"<summary>{mark}<span><span>{escape(one['question'])}</span>"
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
