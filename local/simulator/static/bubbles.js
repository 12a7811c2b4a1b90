// A message as a phone shows it.

import { detailsOf, node } from "./details.js";
import { render } from "./markup.js";

const SVG = "http://www.w3.org/2000/svg";
const TICKS = {
  sent: { label: "Sent", paths: ["M3 9l4 4 8-9"] },
  delivered: { label: "Delivered", paths: ["M1 9l4 4 8-9", "M9.5 12.5L10 13l8-9"] },
  read: { label: "Read", paths: ["M1 9l4 4 8-9", "M9.5 12.5L10 13l8-9"] },
};
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat([], { weekday: "long", day: "numeric", month: "long" });

/** The list item of a message. `update(item, message)` changes what may change of it. */
export function bubble(message) {
  const mine = message.direction === "in";
  const item = node("li", `message ${mine ? "mine" : "theirs"}`);
  item.dataset.wamid = message.wamid;
  const box = node("div", "bubble");
  const text = node("div", message.kind === "text" ? "text" : "text other");
  text.dir = "auto";
  text.append(render(message.text));
  const meta = node("div", "meta");
  const at = node("time", "", clock.format(new Date(message.at * 1000)));
  at.dateTime = new Date(message.at * 1000).toISOString();
  meta.append(at);
  if (mine) meta.append(quietly(node("span", "ticks")));
  box.append(node("span", "sr", mine ? "You:" : "Reply:"), text, meta);
  item.append(box);
  if (!mine && message.callback_data) item.append(quietly(detailsOf(message.wamid)));
  if (mine) item.append(node("p", "note"));
  update(item, message);
  return item;
}

export function update(item, message) {
  if (message.direction !== "in") return;
  const note = item.querySelector(".note");
  note.textContent = notDelivered(message) || message.ending || "";
  note.classList.toggle("bad", Boolean(notDelivered(message)));
  note.hidden = !note.textContent;
  const ticks = item.querySelector(".ticks");
  if (ticks.dataset.status === message.status) return;
  const { label, paths } = TICKS[message.status];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 16");
  svg.setAttribute("aria-hidden", "true");
  for (const d of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  ticks.dataset.status = message.status;
  ticks.replaceChildren(svg, node("span", "sr", label));
}

export function daySeparator(at) {
  const item = node("li", "day");
  item.append(node("span", "", dayName(at)));
  return item;
}

export function dayName(at) {
  const date = new Date(at * 1000);
  return date.toDateString() === new Date().toDateString() ? "Today" : day.format(date);
}

/** Changes inside are there to be read, but not announced. */
function quietly(element) {
  element.setAttribute("aria-live", "off");
  return element;
}

export const timeOf = (at) => clock.format(new Date(at * 1000));

function notDelivered({ status, gateway }) {
  if (status !== "sent" || !gateway?.attempts || gateway.status === 200) return "";
  const reason = gateway.status ? `the gateway answered ${gateway.status}` : gateway.error;
  const tries = gateway.attempts > 1 ? `, ${gateway.attempts} attempts so far` : "";
  return `Not delivered: ${reason}. It will be retried${tries}.`;
}
