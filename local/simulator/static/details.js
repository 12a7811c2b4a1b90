// How a reply came about: its steps, model, tokens and time, from the platform's own record.

import { call, withQuery } from "./calls.js";

const TRIES = 20;
const PAUSE = 500; // ms
const known = new Map();

/** Fills itself when it comes into view, and again until the turn is finished. */
export function detailsOf(wamid) {
  const details = node("details", "details");
  const summary = node("summary");
  const facts = node("span", "facts", "Details");
  summary.append(facts);
  details.append(summary);
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    fill(details, facts, wamid);
  });
  seen.observe(details);
  details.addEventListener("toggle", () => details.open && details.scrollIntoView({ block: "nearest" }));
  return details;
}

async function fill(details, facts, wamid) {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    try {
      const answer = known.get(wamid) ?? (await call("GET", withQuery("/sim/turns", { reply: wamid })));
      if (answer.turn) show(details, facts, answer);
      if (answer.turn?.duration_ms != null) {
        known.set(wamid, answer);
        return;
      }
    } catch (error) {
      if (error.status === 404) return explain(details, facts, "The platform has no record of this message.");
      explain(details, facts, error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

function explain(details, facts, text) {
  facts.textContent = "Details";
  details.replaceChildren(details.firstElementChild, node("p", "quiet", text));
}

function show(details, facts, { outcome, outcome_reason: reason, turn }) {
  const tokens = turn.prompt_tokens + turn.completion_tokens;
  const summary = [turn.model, count(turn.steps.length, "step"), count(tokens, "token"), time(turn.duration_ms)];
  facts.textContent = summary.filter(Boolean).join(" · ");
  const list = node("dl");
  const add = (name, value) => value && list.append(node("dt", "", name), node("dd", "", value));
  add("Model", turn.model);
  add("Tokens", `${number(turn.prompt_tokens)} in, ${number(turn.completion_tokens)} out`);
  add("Time", time(turn.duration_ms) || "not finished yet");
  add("Outcome", [outcome ?? "open", reason && `(${reason})`].filter(Boolean).join(" "));
  add("Error", turn.error);
  const steps = node("ol", "steps");
  steps.append(...turn.steps.map(step));
  details.replaceChildren(details.firstElementChild, node("h3", "", "Steps"), steps, list);
  if (turn.tools.length) {
    const tools = node("ul", "tools");
    tools.append(...turn.tools.map((tool) => node("li", "", typeof tool === "string" ? tool : toolText(tool))));
    details.append(node("h3", "", "Tools"), tools);
  }
}

function step({ kind, name, ms }) {
  const item = node("li");
  item.append(node("span", "kind", String(kind ?? "step")), node("span", "name", String(name ?? "")));
  if (ms != null) item.append(node("span", "ms", time(ms)));
  return item;
}

function toolText(tool) {
  const { name, ...rest } = tool;
  return `${name ?? "tool"} ${JSON.stringify(rest)}`;
}

function time(ms) {
  if (ms == null) return "";
  return ms < 1000 ? `${number(Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`;
}

const number = (value) => new Intl.NumberFormat("en").format(value);
const count = (amount, word) => `${number(amount)} ${word}${amount === 1 ? "" : "s"}`;

export function node(name, className = "", text = null) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== null) element.textContent = text;
  return element;
}
