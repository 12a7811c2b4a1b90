// The chat page: what the person does, and the news that arrive as server-sent events.

import { call, withQuery } from "./calls.js";
import { add, refresh, showChat, showTyping } from "./chat.js";
import { showBots, showPeople } from "./sidebar.js";
import { $, addressOf, complain, state } from "./state.js";

const LIMIT = 1000;
const RANK = { sent: 1, delivered: 2, read: 3 };
const PLACE = "simulator.person";
const drafts = new Map();
/** Messages that arrive while the older ones are being loaded; null when nothing is. */
let late = null;

// Loading ---------------------------------------------------------------------------------------

async function loadAll() {
  const { bots, people, typing } = await call("GET", "/sim/page");
  Object.assign(state, { bots, people });
  state.bot = bots.find(({ slug }) => slug === state.bot?.slug) ?? null;
  state.typing.forEach(clearTimeout);
  state.typing.clear();
  typing.forEach(startTyping);
  const wanted = state.person ?? localStorage.getItem(PLACE);
  await choosePerson((people.find(({ key }) => key === wanted) ?? people[0])?.key ?? null);
}

async function choosePerson(key) {
  state.person = key;
  if (key) localStorage.setItem(PLACE, key);
  showPeople(key);
  late = [];
  const { messages } = await call("GET", withQuery("/witness", { person: key, limit: LIMIT }));
  if (state.person !== key) return;
  state.messages = messages;
  state.unread.clear();
  followHash();
  const missed = late ?? [];
  late = null;
  missed.forEach((message) => news.message({ message }));
}

function followHash() {
  const bot = state.bots.find((one) => location.hash === addressOf(one)) ?? null;
  const changed = bot !== state.bot;
  if (state.bot && changed) drafts.set(state.bot.slug, $("text").value);
  state.bot = bot;
  document.body.dataset.view = bot ? "chat" : "list";
  $("chat").hidden = !bot;
  $("nothing").hidden = Boolean(bot);
  document.title = bot ? `${bot.name} – Chat simulator` : "Chat simulator";
  if (bot) {
    state.unread.delete(bot.phone_number_id);
    showChat(bot);
    if (changed) {
      $("text").value = drafts.get(bot.slug) ?? "";
      grow();
      if (matchMedia("(pointer: fine)").matches) $("text").focus();
    }
  }
  showBots();
}

// News ------------------------------------------------------------------------------------------

const news = {
  message({ message }) {
    late?.push(message);
    if (message.person !== state.person || state.messages.some(({ wamid }) => wamid === message.wamid)) return;
    state.messages.push(message);
    const { phone_number_id: number } = message;
    const here = number === state.bot?.phone_number_id;
    if (message.direction === "out") {
      stopTyping(`${message.person} ${number}`);
      if (!here) state.unread.set(number, (state.unread.get(number) ?? 0) + 1);
    }
    if (here) add(message);
    showBots();
  },

  status({ wamid, status, gateway }) {
    const message = state.messages.find((one) => one.wamid === wamid);
    if (!message) return;
    if (message.direction !== "in" || RANK[status] >= RANK[message.status]) message.status = status;
    message.gateway = gateway;
    refresh(message);
  },

  typing(dots) {
    startTyping(dots);
    showTyping();
    showBots();
  },

  person({ person }) {
    const place = state.people.findIndex(({ key }) => key === person.key);
    if (place < 0) state.people.push(person);
    else state.people[place] = person;
    showPeople(state.person);
  },
};

function listen() {
  const events = new EventSource("/sim/events");
  events.addEventListener("open", () => {
    loadAll().then(
      () => showConnection("open", "Connected"),
      (error) => showConnection("broken", error.message),
    );
  });
  events.addEventListener("error", () => showConnection("broken", "The simulator does not answer. Trying again…"));
  events.addEventListener("message", ({ data }) => {
    const { kind, ...values } = JSON.parse(data);
    news[kind]?.(values);
  });
}

function startTyping({ person, phone_number_id: number, seconds }) {
  const chat = `${person} ${number}`;
  clearTimeout(state.typing.get(chat));
  state.typing.set(chat, setTimeout(() => stopTyping(chat), seconds * 1000));
}

function stopTyping(chat) {
  clearTimeout(state.typing.get(chat));
  state.typing.delete(chat);
  showTyping();
  showBots();
}

function showConnection(name, text) {
  $("connection").dataset.state = name;
  $("connection").textContent = text;
  document.body.dataset.connection = name;
}

// Doing -----------------------------------------------------------------------------------------

async function send(event) {
  event.preventDefault();
  const field = $("text");
  const text = field.value.trim();
  const { person, bot } = state;
  if (!text || !person || !bot) return;
  field.value = "";
  grow();
  complain($("problem"), "");
  try {
    await call("POST", "/sim/messages", { from: person, to: bot.phone_number_id, text });
  } catch (error) {
    complain($("problem"), `Not sent: ${error.message}`);
    if (!field.value) field.value = text;
    grow();
  }
}

async function addPerson(event) {
  event.preventDefault();
  const name = $("new-name").value.trim();
  const phone = $("new-phone").value.trim();
  const id = `US.${Array.from(crypto.getRandomValues(new Uint32Array(2))).join("")}`;
  try {
    const person = await call("POST", "/sim/people", phone ? { name, phone } : { name, user_id: id });
    news.person({ person });
    $("person-dialog").close();
    await choosePerson(person.key);
  } catch (error) {
    complain($("person-problem"), error.message);
  }
}

function grow() {
  const field = $("text");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, 140)}px`;
}

$("composer").addEventListener("submit", send);
$("text").addEventListener("input", grow);
$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
$("person").addEventListener("change", ({ target }) => {
  choosePerson(target.value).catch((error) => showConnection("broken", error.message));
});
$("add-person").addEventListener("click", () => {
  $("person-form").reset();
  complain($("person-problem"), "");
  $("person-dialog").showModal();
});
$("person-cancel").addEventListener("click", () => $("person-dialog").close());
$("person-form").addEventListener("submit", addPerson);
$("back").addEventListener("click", () => (location.hash = ""));
addEventListener("hashchange", followHash);
listen();
