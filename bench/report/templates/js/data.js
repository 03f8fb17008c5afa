
// Data islands: readable JSON, or gzip in base64.
const loaded = {};
function island(id) {
  if (!loaded[id]) loaded[id] = inflate($(id));
  return loaded[id];
}
function inflate(node) {
  if (!node) return Promise.resolve(null);
  if (node.type === "application/json") return Promise.resolve(JSON.parse(node.textContent));
  if (typeof DecompressionStream === "undefined") {
    return Promise.reject(new Error("this browser cannot inflate the data; a version from 2023 or later can"));
  }
  const binary = atob(node.textContent), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  node.textContent = "";
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

const WORDS = { r: "right", e: "equivalent", p: "partly", w: "wrong", f: "failed", u: "unscored", o: "open" };
const GLYPHS = { r: "✓", e: "≈", p: "◐", w: "✗", f: "!", u: "∅", o: "…" };
const NAMES = { r: "right", e: "right, other format", p: "partly right", w: "wrong", f: "failed", u: "not scored", o: "not asked" };

// The index of all questions, and the texts of each chunk that was inflated.
let data = null, settings = {};
const chunks = [], place = new Map();

function chunkOf(number) {
  if (chunks[number]) return Promise.resolve(chunks[number]);
  return island("texts-" + number).then((chunk) => (chunks[number] = chunk || []));
}
function textsOf(questions) {
  const wanted = new Set(questions.map((i) => Math.floor(i / data.chunk)));
  return Promise.all(Array.from(wanted, chunkOf)).then(() => questions.map(rowOf));
}
function rowOf(i) { return chunks[Math.floor(i / data.chunk)][i % data.chunk] || null; }
function imageOf(entry) {
  return entry && entry[0] >= 0 ? "data:image/jpeg;base64," + $("image-" + entry[0]).textContent : "";
}

function value(column, i) { return data[column][0][data[column][1][i]]; }
function taskOf(i) { return data.tasks[data.task[i]]; }
function pagesOf(i) { return data.documents[data.doc[i]][1]; }
function kindOf(m, i) { return data.kind_names[data.kinds[m][i]] || null; }
function goodness(m, i) {
  const score = data.heads[m][i];
  return score === null ? null : taskOf(i).higher ? score : -score;
}
function swatch(m) { return $("list").tHead.rows[0].cells[m + 2].querySelector(".swatch").cloneNode(true); }
function glyph(m, i) {
  const code = data.levels[m][i], kind = kindOf(m, i);
  const name = NAMES[code] + (kind && kind[1] !== NAMES[code] ? ": " + kind[1] : "");
  return el("b", { class: "g " + WORDS[code], role: "img", text: GLYPHS[code], title: name, "aria-label": name });
}
