// What the page knows: bots, people, who writes to whom, and what both have said.

export const state = {
  bots: [],
  people: [],
  /** Key of the person who writes. */
  person: null,
  /** The bot whose chat is open. */
  bot: null,
  /** Everything that the person saw, in order. */
  messages: [],
  /** Timers that end typing dots, by `person number`. */
  typing: new Map(),
  /** How many messages came in while another chat was open, by number. */
  unread: new Map(),
};

export const $ = (id) => document.getElementById(id);
export const chatOf = (bot) => state.messages.filter((message) => message.phone_number_id === bot?.phone_number_id);
export const isTyping = (bot) => state.typing.has(`${state.person} ${bot.phone_number_id}`);
export const addressOf = (bot) => `#${encodeURIComponent(bot.slug)}`;

export function complain(place, text) {
  place.textContent = text;
  place.hidden = !text;
}
