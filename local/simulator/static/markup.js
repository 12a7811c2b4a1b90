// WhatsApp's markup as elements. Everything goes through text nodes: nothing that anyone writes is ever HTML.

const TOKEN = new RegExp(
  [
    "```(?<block>[\\s\\S]+?)```",
    "`(?<code>[^`\\n]+)`",
    "(?<url>https?://[^\\s<>\"]+)",
    "(?<![\\p{L}\\p{N}])(?<mark>[*_~])(?=\\S)(?<inner>[^\\n]*?\\S)\\k<mark>(?![\\p{L}\\p{N}])",
  ].join("|"),
  "u",
);
const ELEMENTS = { "*": "strong", _: "em", "~": "s" };

/** `text` as a fragment, with *bold*, _italic_, ~strike~, `code`, ```blocks``` and links. */
export function render(text) {
  const fragment = document.createDocumentFragment();
  let rest = text;
  for (let match = TOKEN.exec(rest); match; match = TOKEN.exec(rest)) {
    fragment.append(rest.slice(0, match.index));
    const { element, length } = elementOf(match);
    fragment.append(element);
    rest = rest.slice(match.index + length);
  }
  fragment.append(rest);
  return fragment;
}

function elementOf(match) {
  const { block, code, url, mark, inner } = match.groups;
  if (url) return link(url);
  const element = document.createElement(mark ? ELEMENTS[mark] : block ? "pre" : "code");
  element.append(mark ? render(inner) : (block ?? code));
  return { element, length: match[0].length };
}

function link(url) {
  // A sentence's end, and what closes around an address, is not part of it.
  let address = url.replace(/[.,;:!?'*_~]+$/, "");
  if (address.endsWith(")") && !address.includes("(")) address = address.slice(0, -1);
  const element = document.createElement("a");
  element.href = address;
  element.rel = "noopener noreferrer";
  element.target = "_blank";
  element.textContent = address;
  return { element, length: address.length };
}
