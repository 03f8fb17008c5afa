
// Differences by character (by grapheme where the browser can), never by half of one.
const UNITS = 1500;
function units(text) {
  if (window.Intl && Intl.Segmenter) return Array.from(new Intl.Segmenter().segment(text), (s) => s.segment);
  return Array.from(text);
}
function matrix(a, b) {
  const wide = b.length + 1, d = new Uint16Array((a.length + 1) * wide);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      d[i * wide + j] = a[i] === b[j] ? d[(i + 1) * wide + j + 1] + 1 : Math.max(d[(i + 1) * wide + j], d[i * wide + j + 1]);
    }
  }
  return d;
}
function alike(reference, answer) {
  const r = units(reference.slice(0, 400)), a = units(answer.slice(0, 400));
  return (2 * matrix(r, a)[0]) / Math.max(1, r.length + a.length);
}
// The references from the nearest to the farthest; of several answers, the most alike counts.
function byNearness(answers, references) {
  const nearness = (reference) => Math.max(0, ...answers.map((answer) => alike(reference, answer)));
  const rated = references.map((reference, k) => ({ reference, k, common: k < 12 ? nearness(reference) : -1 }));
  return rated.sort((x, y) => y.common - x.common || x.k - y.k);
}
// Runs of pieces: ["same" | "missed" | "surplus", text], in the order of reading.
function steps(a, b) {
  const d = matrix(a, b), wide = b.length + 1, out = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { push(out, "same", a[i]); i += 1; j += 1; }
    else if (i < a.length && (j >= b.length || d[(i + 1) * wide + j] >= d[i * wide + j + 1])) { push(out, "missed", a[i]); i += 1; }
    else { push(out, "surplus", b[j]); j += 1; }
  }
  return out;
}
function push(out, kind, text) {
  const last = out[out.length - 1];
  if (text === "") return;
  if (last && last[0] === kind) last[1] += text;
  else out.push([kind, text]);
}
// A whole page is compared by lines, unequal lines by words, and unequal words by letters.
const MOST_PAIRS = 2e7, FEW_LETTERS = 80;
const CUTS = [
  // Blank lines belong to the line before them: they would hold together what is not.
  (text) => text.match(/[^\n]+\n*|\n+/g) || [],
  (text) => text.match(/\s+|[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+/g) || [],
  (text) => (text.length <= FEW_LETTERS ? units(text) : [text]),
];
function finer(reference, answer, cuts) {
  const out = [], a = cuts[0](reference), b = cuts[0](answer), rest = cuts.slice(1);
  if (a.length * b.length > MOST_PAIRS) return [["missed", reference], ["surplus", answer]];
  let missed = "", surplus = "";
  const flush = () => {
    const parts = missed && surplus && rest.length ? finer(missed, surplus, rest) : [["missed", missed], ["surplus", surplus]];
    parts.forEach(([kind, text]) => push(out, kind, text));
    missed = surplus = "";
  };
  steps(a, b).forEach(([kind, text]) => {
    if (kind === "same") { flush(); push(out, kind, text); }
    else if (kind === "missed") missed += text;
    else surplus += text;
  });
  flush();
  return out;
}
function runs(reference, answer) {
  const isShort = reference.length <= UNITS && answer.length <= UNITS;
  return isShort ? steps(units(reference), units(answer)) : finer(reference, answer, CUTS);
}

// An answer with its wrong letters marked, and below it the reference with the missed ones. What one line has
// and the other has not is a gap in the other, so that equal letters stand below each other. A gap is drawn
// from an attribute and is no text: the text of either line is exactly what was written.
const ALIGNED = 90;
function gapFor(text) { return el("span", { class: "gap-for", "data-gap": text, "aria-hidden": "true" }); }
function aligned(answerBox, referenceBox, reference, answer) {
  const parts = runs(reference, answer);
  const short = reference.length <= ALIGNED && answer.length <= ALIGNED && !/\n/.test(reference + answer);
  const gap = (text) => (short ? gapFor(text) : null);
  const marked = (kind, text) => fill(el("mark", { class: kind }), text);
  const add = (box, node) => { if (node) box.append(node); };
  parts.forEach(([kind, text]) => {
    if (kind === "same") { fill(answerBox, text); fill(referenceBox, text); return; }
    add(answerBox, kind === "surplus" ? marked(kind, text) : gap(text));
    add(referenceBox, kind === "missed" ? marked(kind, text) : gap(text));
  });
}

// The fields of an object as [path, value].
function fieldsOf(value, path) {
  if (Array.isArray(value)) return value.flatMap((item, k) => fieldsOf(item, path + "[" + (k + 1) + "]"));
  if (value !== null && typeof value === "object") {
    return Object.entries(value).flatMap(([key, item]) => fieldsOf(item, path ? path + "." + key : key));
  }
  return value === undefined ? [] : [[path, value === null ? "" : String(value)]];
}
// The answer with the items of its lists in the order of the reference: each beside the one that it is most
// like, the most alike pairs first; what is like none comes last.
function inOrderOf(reference, answer) {
  if (Array.isArray(reference) && Array.isArray(answer)) {
    const words = (item) => fieldsOf(item, "").map((field) => field[1]).join(" ");
    const pairs = reference.flatMap((item, k) => answer.map((other, j) => [alike(words(item), words(other)) + (j === k ? 1e-6 : 0), k, j]));
    const placed = Array.from(reference, () => undefined), taken = new Set();
    pairs.sort((x, y) => y[0] - x[0]).forEach(([common, k, j]) => {
      if (common < 0.35 || placed[k] !== undefined || taken.has(j)) return;
      placed[k] = inOrderOf(reference[k], answer[j]);
      taken.add(j);
    });
    return placed.concat(answer.filter((_, j) => !taken.has(j)));
  }
  const areObjects = [reference, answer].every((each) => each !== null && typeof each === "object" && !Array.isArray(each));
  if (!areObjects) return answer;
  return Object.fromEntries(Object.entries(answer).map(([key, item]) => [key, key in reference ? inOrderOf(reference[key], item) : item]));
}
function plain(text) { return text.normalize("NFKC").trim().replace(/\s+/g, " ").toLocaleLowerCase(); }
