// Small helpers, the colours, copying, and the address.
// Texts of models and documents are data: they only ever become text nodes.
const root = document.documentElement;
root.dataset.js = "1";
const $ = (id) => document.getElementById(id);
const all = (selector, inside) => Array.from((inside || document).querySelectorAll(selector));

function el(name, attributes, children) {
  const node = document.createElement(name);
  Object.entries(attributes || {}).forEach(([key, value]) => {
    if (value === null || value === undefined) return;
    if (key === "text") node.textContent = value;
    else node.setAttribute(key, value);
  });
  (children || []).forEach((child) => { if (child) node.append(child); });
  return node;
}

function count(number) { return number.toLocaleString("en"); }
function plural(number, noun) { return count(number) + " " + noun + (number === 1 ? "" : "s"); }

// Characters that steer: control, direction, halves of pairs, and code points that are no characters.
const STEERS = /[\p{Cc}\p{Cs}\p{Cn}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;
function steers(character) { return character !== "\n" && character !== "\t" && STEERS.test(character); }
function escaped(character) {
  const code = character.codePointAt(0), hex = code.toString(16);
  if (code < 0x100) return "\\x" + hex.padStart(2, "0");
  return code <= 0xffff ? "\\u" + hex.padStart(4, "0") : "\\U" + hex.padStart(8, "0");
}

// For lists and labels: what steers is written out.
function visible(text) {
  return STEERS.test(text) ? Array.from(text, (c) => (steers(c) ? escaped(c) : c)).join("") : text;
}
function clip(text, limit) {
  if (text.length <= limit) return visible(text);
  let cut = text.slice(0, limit - 1);
  // Half a surrogate pair is no character.
  if (/[\ud800-\udbff]$/.test(cut)) cut = cut.slice(0, -1);
  return visible(cut) + "…";
}

// Verbatim: the node's text is exactly this text, so that copying gives what was written. A character that
// steers stays, but nobody sees it work: it is set in a box of its own, and its code is drawn in its place.
function fill(node, text) {
  let plain = "";
  const flush = () => {
    // A word of thousands of letters takes a browser minutes to break; <wbr> gives it places.
    for (let i = 0; i < plain.length; ) {
      let end = Math.min(plain.length, i + 300);
      if (end < plain.length && /[\ud800-\udbff]/.test(plain[end - 1])) end += 1;
      node.append(plain.slice(i, end));
      if (end < plain.length) node.append(document.createElement("wbr"));
      i = end;
    }
    plain = "";
  };
  if (!STEERS.test(text.replace(/[\n\t]/g, ""))) {
    plain = text;
  } else {
    for (const character of text) {
      if (steers(character)) {
        flush();
        node.append(el("span", { class: "steers", "data-code": escaped(character), text: character }));
      } else plain += character;
    }
  }
  flush();
  return node;
}

// An object is easier to read a line a key; text that is none stays as it is.
function pretty(text) {
  const value = parsed(text);
  return value === undefined ? text : JSON.stringify(value, null, 2);
}
function parsed(text) {
  if (!/^\s*[\[{]/.test(text)) return undefined;
  try { return JSON.parse(text); } catch (error) { return undefined; }
}
function langOf(tag) { return /^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}$/.test(tag) ? tag : null; }

// The button turns the colours that are seen; nothing is stored.
$("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
window.addEventListener("beforeprint", () => { all("details").forEach((d) => { d.open = true; }); });

function copy(text, button) {
  const done = (ok) => {
    const label = button.textContent;
    button.textContent = ok ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = label; }, 1400);
  };
  const byHand = () => {
    const area = el("textarea", { "aria-hidden": "true" });
    area.value = text;
    (button.closest("dialog") || document.body).append(area);
    area.select();
    let ok = false;
    try { ok = document.execCommand("copy"); } catch (error) { ok = false; }
    area.remove();
    done(ok);
  };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => done(true), byHand);
  else byHand();
}
all("[data-copy]").forEach((button) => {
  button.addEventListener("click", () => copy(button.dataset.copy, button));
});

// The address holds what a person chose: #samples&gpu=24&show=wrong&s=task/id. A file that was opened from
// disk may change nothing else of its address.
function readAddress(hash) {
  const found = { section: "", values: {} };
  hash.replace(/^#/, "").split("&").forEach((part) => {
    const at = part.indexOf("=");
    if (at < 0) { found.section = found.section || part; return; }
    try {
      const parts = part.slice(at + 1).split("/").map(decodeURIComponent);
      const key = decodeURIComponent(part.slice(0, at));
      found.values[key] = key === "s" ? [parts[0], parts.slice(1).join("/")] : parts.join("/");
    } catch (error) { /* Half a percent sign is no value. */ }
  });
  return found;
}
let address = readAddress(location.hash);
function fragment(values, section) {
  const parts = section ? [section] : [];
  Object.entries(values).forEach(([key, value]) => {
    if (value === null || value === undefined) return;
    const written = Array.isArray(value) ? value.map(encodeURIComponent).join("/") : encodeURIComponent(value);
    parts.push(encodeURIComponent(key) + "=" + written);
  });
  return "#" + parts.join("&");
}
function writeAddress(changes, section, isStep) {
  const values = Object.assign({}, address.values, changes);
  Object.keys(values).forEach((key) => { if (values[key] === null) delete values[key]; });
  address = { section: section === undefined ? address.section : section, values };
  const next = fragment(address.values, address.section);
  if (next === (location.hash || "#")) return;
  const url = next === "#" ? location.href.split("#")[0] : next;
  if (isStep) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}
function go(section, behavior) {
  const target = $(section);
  if (!target) return;
  // What is inside tabs or a folded part has to be opened first.
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  target.scrollIntoView({ behavior: behavior || "auto" });
  if (!target.hasAttribute("tabindex")) target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: true });
}
