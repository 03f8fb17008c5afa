
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
// Runs of characters: ["same" | "missed" | "surplus", text], in the order of reading.
function runs(reference, answer) {
  const a = units(reference).slice(0, UNITS), b = units(answer).slice(0, UNITS), d = matrix(a, b), wide = b.length + 1, out = [];
  const push = (kind, text) => {
    const last = out[out.length - 1];
    if (last && last[0] === kind) last[1] += text;
    else out.push([kind, text]);
  };
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { push("same", a[i]); i += 1; j += 1; }
    else if (i < a.length && (j >= b.length || d[(i + 1) * wide + j] >= d[i * wide + j + 1])) { push("missed", a[i]); i += 1; }
    else { push("surplus", b[j]); j += 1; }
  }
  push("same", "");
  return { parts: out, restOfReference: reference.slice(a.join("").length), restOfAnswer: answer.slice(b.join("").length) };
}

// An answer with its wrong letters marked, and below it the reference with the missed ones. What one line has
// and the other has not is a gap in the other, so that equal letters stand below each other. A gap is drawn
// from an attribute and is no text: the text of either line is exactly what was written.
const ALIGNED = 90;
function gapFor(text) { return el("span", { class: "gap-for", "data-gap": text, "aria-hidden": "true" }); }
function aligned(answerBox, referenceBox, reference, answer) {
  const { parts, restOfReference, restOfAnswer } = runs(reference, answer);
  const short = reference.length <= ALIGNED && answer.length <= ALIGNED && !/\n/.test(reference + answer);
  const gap = (text) => (short ? gapFor(text) : null);
  const marked = (kind, text) => fill(el("mark", { class: kind }), text);
  const add = (box, node) => { if (node) box.append(node); };
  parts.forEach(([kind, text]) => {
    if (kind === "same") { fill(answerBox, text); fill(referenceBox, text); return; }
    add(answerBox, kind === "surplus" ? marked(kind, text) : gap(text));
    add(referenceBox, kind === "missed" ? marked(kind, text) : gap(text));
  });
  fill(answerBox, restOfAnswer);
  fill(referenceBox, restOfReference);
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
