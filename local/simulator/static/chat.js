// The open chat: its messages, typing dots, and how each message ended.

import { bubble, dayName, daySeparator, update } from "./bubbles.js";
import { call, withQuery } from "./calls.js";
import { avatar } from "./sidebar.js";
import { $, chatOf, isTyping, state } from "./state.js";

const NO_REPLY = { refused: "No reply: refused", failed: "No reply: failed", handed_over: "Handed over to a person" };
/** How often and how long the platform is asked what became of a message without a reply. */
const ASK_EVERY = 1000; // ms
const ASK_TIMES = 90;

export function showChat(bot) {
  $("chat-name").textContent = bot.name;
  $("chat-sub").textContent = bot.display_phone_number;
  $("chat-avatar").replaceWith(Object.assign(avatar(bot), { id: "chat-avatar" }));
  // What was said before is not news to a screen reader.
  $("scroll").setAttribute("aria-busy", "true");
  $("messages").replaceChildren();
  chatOf(bot).forEach(append);
  $("scroll").setAttribute("aria-busy", "false");
  showEmptiness();
  showTyping();
  toEnd();
  chatOf(bot).slice(-1).forEach(watchEnding);
}

/** Add a new message to the open chat. */
export function add(message) {
  const follow = isAtEnd() || message.direction === "in";
  append(message);
  showEmptiness();
  if (follow) toEnd();
  watchEnding(message);
}

/** Show what has changed of a message that may be in the open chat. */
export function refresh(message) {
  const item = document.querySelector(`[data-wamid="${CSS.escape(message.wamid)}"]`);
  if (item) keepingEnd(() => update(item, message));
}

export function showTyping() {
  const typing = Boolean(state.bot && isTyping(state.bot));
  keepingEnd(() => ($("typing").hidden = !typing));
  $("typing-text").textContent = typing ? `${state.bot.name} is writing` : "";
}

function append(message) {
  const list = $("messages");
  const name = dayName(message.at);
  if (list.dataset.day !== name || !list.children.length) list.append(daySeparator(message.at));
  list.dataset.day = name;
  list.append(bubble(message));
}

function showEmptiness() {
  const empty = !$("messages").children.length;
  $("no-messages").hidden = !empty;
  if (empty) $("no-messages").textContent = `No messages yet. Say hello to ${state.bot.name}.`;
}

/** Asks, while a message is the last of the open chat, whether it ended without a reply. */
async function watchEnding(message) {
  for (let times = 0; times < ASK_TIMES && message.direction === "in" && !message.ending; times++) {
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY));
    if (chatOf(state.bot).at(-1) !== message) return;
    const turn = await call("GET", withQuery("/sim/turns", { wamid: message.wamid })).catch(() => ({}));
    if (turn.outcome in NO_REPLY) {
      message.ending = `${NO_REPLY[turn.outcome]}${turn.outcome_reason ? ` (${turn.outcome_reason})` : ""}.`;
      refresh(message);
    }
    if (turn.outcome) return;
  }
}

const isAtEnd = () => $("scroll").scrollHeight - $("scroll").scrollTop - $("scroll").clientHeight < 80;
const toEnd = () => ($("scroll").scrollTop = $("scroll").scrollHeight);

function keepingEnd(change) {
  const follow = isAtEnd();
  change();
  if (follow) toEnd();
}
