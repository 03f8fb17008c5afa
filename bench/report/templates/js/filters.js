
// Filters, and the list of what matches them.
const PER_PAGE = 100;
const SELECTS = ["show", "kind", "model", "task", "language"];
const FILTERS = [...SELECTS, "doc_type", "field", "text", "better", "than"];
const state = Object.fromEntries(FILTERS.map((key) => [key, ""]));
let found = [], page = 0, turn = 0;

const TESTS = {
  wrong: (l) => l === "w" || l === "f",
  failed: (l) => l === "f",
  partly: (l) => l === "p",
  equivalent: (l) => l === "e",
  right: (l) => l === "r",
  unscored: (l) => l === "u",
  open: (l) => l === "o",
};
function passes(i, models) {
  if (state.show === "different" || state.show === "nobody") {
    const levels = data.levels.map((column) => column[i]).filter((l) => l !== "o");
    if (state.show === "nobody") {
      if (!(levels.length > 1 && levels.every(TESTS.wrong) && levels.includes("w"))) return false;
    } else {
      const seen = levels.filter((l) => l !== "u");
      if (!seen.some((l) => l !== seen[0])) return false;
    }
  }
  // What is said of an answer must hold of one and the same answer.
  const test = TESTS[state.show];
  return (!test && !state.kind) || models.some((m) => {
    const kind = kindOf(m, i);
    return (!test || test(data.levels[m][i])) && (!state.kind || (kind !== null && kind[0] === state.kind));
  });
}
function numberOf(column) {
  // The value's number in a packed column; −1 if no question has it.
  return state[column] ? data[column][0].indexOf(state[column]) : null;
}
// Every number of the report counts clean pages, so perturbed ones are listed only where their task is chosen.
function scope() {
  const chosen = data.tasks.find((t) => t.key === state.task);
  return chosen && chosen.perturbed ? (i) => taskOf(i) === chosen : (i) => !taskOf(i).perturbed;
}
function matching() {
  const only = data.models.indexOf(state.model);
  const models = only >= 0 ? [only] : data.models.map((_, m) => m);
  const task = state.task ? data.tasks.findIndex((t) => t.key === state.task) : null;
  const columns = ["language", "doc_type", "field"].map((key) => [data[key][1], numberOf(key)]).filter((c) => c[1] !== null);
  const a = data.models.indexOf(state.better), b = data.models.indexOf(state.than);
  const list = [], inScope = scope();
  for (let i = 0; i < data.ids.length; i += 1) {
    if (!inScope(i) || (task !== null && data.task[i] !== task)) continue;
    if (columns.some(([numbers, wanted]) => numbers[i] !== wanted)) continue;
    if (a >= 0 && b >= 0) {
      const x = goodness(a, i), y = goodness(b, i);
      if (x === null || y === null || !(x - y > 1e-9)) continue;
    }
    if (passes(i, models)) list.push(i);
  }
  return list;
}
// Everything that is written of a question, in lower case; made once, when it is first searched.
const hay = [];
function hayOf(i) {
  if (hay[i] === undefined) {
    const row = rowOf(i), parts = [data.ids[i], data.documents[data.doc[i]][0]];
    if (row) {
      parts.push(row[0], ...row[1]);
      row[2].forEach((answer) => { if (answer) parts.push(answer[0], answer[1] || "", answer[6] || ""); });
    }
    hay[i] = parts.join("\n").toLocaleLowerCase();
  }
  return hay[i];
}
function searched(list) {
  if (!state.text) return Promise.resolve(list);
  const needle = state.text.toLocaleLowerCase();
  return textsOf(list).then(() => list.filter((i) => hayOf(i).includes(needle)));
}
function refresh() {
  const mine = (turn += 1);
  return searched(matching()).then((list) => {
    if (mine !== turn) return undefined;
    found = list;
    page = 0;
    chips();
    return draw();
  });
}
function setFilter(next) {
  FILTERS.forEach((key) => { state[key] = next[key] || ""; });
  [...SELECTS, "text"].forEach((key) => { if ($("f-" + key)) $("f-" + key).value = state[key]; });
  return refresh();
}
function changed(changes) {
  Object.assign(state, changes);
  writeAddress(chosen());
  return refresh();
}
function chosen() { return Object.fromEntries(FILTERS.map((key) => [key, state[key] || null])); }
function chips() {
  const box = $("f-chips");
  box.textContent = "";
  const add = (text, keys) => {
    const chip = el("button", { type: "button", text: visible(text) + " ✕", "aria-label": "Remove the filter " + visible(text) });
    chip.addEventListener("click", () => changed(Object.fromEntries(keys.map((key) => [key, ""]))));
    box.append(chip);
  };
  if (state.doc_type) add("document type: " + state.doc_type, ["doc_type"]);
  if (state.field) add("field: " + state.field, ["field"]);
  if (state.better && state.than) add(state.better + " better than " + state.than, ["better", "than"]);
  $("f-clear").hidden = !FILTERS.some((key) => state[key]);
}

function draw() {
  const slice = found.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
  const inScope = scope(), total = data.ids.filter((_, i) => inScope(i)).length;
  return textsOf(slice).then((rows) => {
    const body = $("list").tBodies[0];
    body.textContent = "";
    body.append(...slice.map((i, k) => line(i, rows[k])));
    const nothing = total ? "No question matches the filter." : "The run contains no questions.";
    if (!slice.length) body.append(el("tr", {}, [el("td", { class: "empty", colspan: data.models.length + 2, text: nothing })]));
    $("status").textContent = found.length === total ? plural(total, "question") : count(found.length) + " of " + plural(total, "question");
    const pages = Math.ceil(found.length / PER_PAGE);
    $("pager").hidden = pages < 2;
    $("page-of").textContent = "Page " + (page + 1) + " of " + pages;
    $("prev-page").disabled = page === 0;
    $("next-page").disabled = page >= pages - 1;
  });
}
function turnPage(by) {
  page += by;
  draw().then(() => $("samples").scrollIntoView());
}
function said(answer) { return answer ? (answer[5] === "error" ? answer[6] || "error" : answer[1] || answer[0]) : ""; }
function expected(reference) { return reference === "" ? "not on the page" : reference; }

// Small pictures of the pages, decoded only when their rows come near the window.
const watcher = new IntersectionObserver((entries) => {
  entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    watcher.unobserve(entry.target);
    entry.target.src = imageOf(pagesOf(Number(entry.target.dataset.question))[0]);
  });
}, { rootMargin: "300px" });
function thumbnail(i) {
  if (!imageOf(pagesOf(i)[0])) return null;
  const image = el("img", { class: "thumb", alt: "", "data-question": i, width: 40, height: 52 });
  watcher.observe(image);
  return image;
}
function line(i, row) {
  const language = langOf(value("language", i));
  const text = (words, limit, kind) => el("span", { class: kind, dir: "auto", lang: language, text: clip(words, limit) });
  const question = row ? text(row[0], 200, "clamp") : el("span", { class: "clamp empty", text: "The text is not in this file." });
  const cells = [
    el("td", {}, [thumbnail(i), el("a", { class: "id", href: linkTo(i), text: taskOf(i).key + " / " + data.ids[i] }), question]),
    el("td", { "data-label": "expected" }, [text(row ? row[1].map(expected).join("  ·  ") : "", 120, "clamp")]),
  ];
  data.models.forEach((name, m) => {
    const code = data.levels[m][i], answer = row && row[2][m];
    const words = said(answer) ? text(said(answer), 60, "answer") : el("span", { class: "empty", text: "empty" });
    cells.push(el("td", { "data-label": name }, [glyph(m, i), " ", code === "r" || !answer ? null : words]));
  });
  const tr = el("tr", {}, cells);
  tr.addEventListener("click", (event) => { if (!event.target.closest("a") && !getSelection().toString()) visit(i); });
  return tr;
}
function linkTo(i) { return fragment({ s: [taskOf(i).key, data.ids[i]] }); }
