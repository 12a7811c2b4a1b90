// People to be, and bots to write to.

import { dayName, timeOf } from "./bubbles.js";
import { node } from "./details.js";
import { render } from "./markup.js";
import { $, addressOf, chatOf, isTyping, state } from "./state.js";

export function showPeople(chosen) {
  const options = state.people.map(({ key, name, wa_id: phone }) => {
    const option = node("option", "", phone ? name : `${name} (no number)`);
    option.value = key;
    option.selected = key === chosen;
    return option;
  });
  $("person").replaceChildren(...options);
  const person = state.people.find(({ key }) => key === chosen);
  $("person-number").textContent = person ? (person.wa_id ? `+${person.wa_id}` : "username only, no number") : "";
}

export function showBots() {
  const focused = document.activeElement?.closest?.(".bot")?.getAttribute("href");
  $("bots").replaceChildren(...state.bots.map(botItem));
  if (focused) $("bots").querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
}

function botItem(bot) {
  const last = chatOf(bot).at(-1);
  const link = node("a", "bot");
  link.href = addressOf(bot);
  if (bot === state.bot) link.setAttribute("aria-current", "page");
  const preview = isTyping(bot) ? "writing…" : last ? previewOf(last) : "No messages yet";
  link.append(
    avatar(bot),
    node("span", "bot-name", bot.name),
    node("span", "bot-time", last ? shortTime(last.at) : ""),
    node("span", "bot-last", preview),
  );
  const unread = state.unread.get(bot.phone_number_id);
  if (unread) {
    const badge = node("span", "badge", String(unread));
    badge.append(node("span", "sr", " unread"));
    link.append(badge);
  }
  const item = node("li");
  item.append(link);
  return item;
}

export function avatar({ name, phone_number_id: id }) {
  const initials = name.split(/\s+/).slice(0, 2).map((word) => word[0]);
  const mark = node("span", "avatar", initials.join(""));
  mark.dataset.tone = String([...id].reduce((sum, digit) => sum + Number(digit), 0) % 5);
  mark.setAttribute("aria-hidden", "true");
  return mark;
}

function shortTime(at) {
  if (dayName(at) === "Today") return timeOf(at);
  return new Date(at * 1000).toLocaleDateString([], { day: "numeric", month: "short" });
}

const previewOf = ({ direction, text }) => (direction === "in" ? "You: " : "") + render(text).textContent;
