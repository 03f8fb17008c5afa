
// One question with every answer.
let current = -1;

function visit(i) {
  writeAddress({ s: [taskOf(i).key, data.ids[i]] }, undefined, true);
  open(i);
}
function open(i) {
  current = i;
  return textsOf([i]).then(([row]) => {
    if (current !== i) return;
    if (!$("detail").open) {
      $("detail").showModal();
      $("d-text").focus();
    }
    detail(i, row);
  });
}
function left() {
  current = -1;
  writeAddress({ s: null });
}
function shut() { if ($("detail").open) $("detail").close(); }
function step(by) {
  const next = found[found.indexOf(current) + by];
  if (next === undefined || (current < 0 && by < 0)) return;
  writeAddress({ s: [taskOf(next).key, data.ids[next]] });
  open(next);
}

function detail(i, row) {
  const at = found.indexOf(i), language = langOf(value("language", i)), task = taskOf(i), box = $("d-text");
  $("d-place").textContent = at >= 0 ? count(at + 1) + " of " + count(found.length) : "not in the filtered list";
  $("d-prev").disabled = at <= 0;
  $("d-next").disabled = at < 0 || at >= found.length - 1;
  showPages(i, (row && row[3]) || []);
  box.textContent = "";
  const tags = [task.key + " / " + data.ids[i], value("language", i), value("doc_type", i), value("field", i), "document " + data.documents[data.doc[i]][0]];
  box.append(el("p", { class: "tags" }, tags.filter(Boolean).map((tag) => el("span", { text: tag }))));
  const question = el("h2", { id: "d-question", class: row && row[0].length > 120 ? "long" : null, dir: "auto", lang: language });
  box.append(fill(question, row ? row[0] : data.ids[i]));
  if (!row) {
    box.append(el("p", { class: "empty", text: "The texts of this question were left out to keep the file small; they are in the run directory." }));
  } else {
    const answers = row[2].filter((answer) => answer && answer[5] !== "error").map((answer) => answer[1] || answer[0]);
    const expected = row[1].length > 1 ? byNearness(answers, row[1]).map((rated) => rated.reference) : row[1];
    const prompt = (task.system !== null ? "[system] " + task.system + "\n\n" : "") + task.prompt.split("{question}").join(row[0]);
    const wanted = row[5] ? testTable(row[5]) : references(expected, language);
    box.append(folded("Prompt", [fill(el("pre", { dir: "auto", tabindex: "0" }), prompt)]), wanted);
    const objects = expected.map(parsed).find((object) => object !== undefined);
    if (objects !== undefined) box.append(fieldTable(objects, i, row));
  }
  data.models.forEach((name, m) => box.append(answerOf(name, m, i, row, language)));
  $("d-legend").hidden = !box.querySelector("mark");
  box.scrollTop = 0;
}
// What is long scrolls in a box of its own, which the keyboard must reach.
function isLong(text) { return text.length > 600 || (text.match(/\n/g) || []).length > 8; }
function longBox(attributes, text) { return fill(el("div", { ...attributes, tabindex: isLong(text) ? "0" : null }), text); }
// Of two long texts, one below the other, the one that a person scrolls moves the other.
function scrollTogether(one, other) {
  [[one, other], [other, one]].forEach(([moved, follower]) => moved.addEventListener("scroll", () => {
    if (!moved.matches(":hover, :focus")) return;
    const share = moved.scrollTop / Math.max(1, moved.scrollHeight - moved.clientHeight);
    follower.scrollTop = share * (follower.scrollHeight - follower.clientHeight);
  }));
}
function folded(title, nodes) { return el("details", {}, [el("summary", { text: title }), ...nodes]); }

// What is expected: a short reference as it is; of several, the nearest here and the others folded.
function references(list, language) {
  const shown = (reference) => {
    if (reference === "") return el("div", { class: "expected" }, [el("em", { text: "not on the page" })]);
    const isObject = parsed(reference) !== undefined;
    return el("div", { class: "expected", dir: "auto", lang: language }, [longBox({ class: isObject ? "json" : null }, pretty(reference))]);
  };
  const objects = list.length && parsed(list[0]) !== undefined;
  const first = list.slice(0, 1).map(shown), rest = list.slice(1).map(shown);
  const box = el("div", { class: "references" }, [el("p", { class: "label", text: "expected" })]);
  if (objects) box.append(folded("The whole object", first));
  else if (list.length && isLong(list[0])) box.append(folded("The whole text", first));
  else box.append(...first);
  if (rest.length) box.append(folded(plural(rest.length, "other right answer"), rest));
  return box;
}

// The tests of a page by models.
function testTable(tests) {
  const head = [el("th", { scope: "col", text: "Test" })];
  data.models.forEach((name, m) => head.push(el("th", { scope: "col" }, [swatch(m), name])));
  const lines = tests.map(([words, passed]) => el("tr", {}, [
    fill(el("th", { scope: "row", dir: "auto" }), words),
    ...passed.map((each) => el("td", {}, [each === null ? "–" : verdict(each ? "r" : "w", each ? "passed" : "failed")])),
  ]));
  const caption = el("caption", { text: "Tests of the page: ✓ passed, ✗ failed, – not computed or not answered" });
  const table = el("table", { class: "fields" }, [caption, el("thead", {}, [el("tr", {}, head)]), el("tbody", {}, lines)]);
  return el("div", { class: "fields-box", tabindex: "0", role: "group", "aria-label": "Tests by models" }, [table]);
}
function verdict(code, words) { return el("b", { class: "g " + WORDS[code], role: "img", "aria-label": words, text: GLYPHS[code] }); }

// Fields by models. The task's metric judges each field; where it cannot, a field is right if the two values
// are equal but for case, width and spaces.
const SIMILAR = 0.5;
function fieldTable(reference, i, row) {
  const wanted = new Map(fieldsOf(reference, ""));
  const given = data.models.map((_, m) => {
    const answer = row[2][m], object = answer ? parsed(answer[1] || answer[0]) : undefined;
    return object === undefined ? null : new Map(fieldsOf(inOrderOf(reference, object), ""));
  });
  // One rule for the whole table: that of the metric only if it judged every object.
  const judged = row[4] !== undefined && given.every((fields, m) => fields === null || row[4][m] !== null);
  const names = new Set(wanted.keys());
  given.forEach((fields) => { if (fields) fields.forEach((_, name) => names.add(name)); });
  const head = [el("th", { scope: "col", text: "Field" }), el("th", { scope: "col", text: "Expected" })];
  data.models.forEach((name, m) => head.push(el("th", { scope: "col" }, [swatch(m), name])));
  const lines = Array.from(names, (name) => {
    const right = wanted.get(name);
    const cells = [el("th", { scope: "row", text: visible(name) }), el("td", { dir: "auto" }, [valueOf(right)])];
    given.forEach((fields, m) => {
      cells.push(fieldCell(right, fields ? fields.get(name) : undefined, fields !== null, judged ? row[4][m] : null));
    });
    return el("tr", {}, cells);
  });
  const rule = judged ? "Field by field, as " + taskOf(i).metrics[0] + " judges: ✓ right, ◐ at least half right, ✗ wrong"
    : "Field by field: ✓ equal but for case and spaces, ◐ at least half alike, ✗ another value";
  const caption = el("caption", { text: rule });
  const table = el("table", { class: "fields" }, [caption, el("thead", {}, [el("tr", {}, head)]), el("tbody", {}, lines)]);
  return el("div", { class: "fields-box", tabindex: "0", role: "group", "aria-label": "Fields by models" }, [table]);
}
function valueOf(text) {
  if (text === undefined || text === "") return el("em", { class: "soft", text: text === undefined ? "not on the page" : "empty" });
  return fill(el("span"), text);
}
// r, p or w: right, partly right or wrong.
function fieldCode(right, own, marks) {
  if (!right || !own) return !right && !own ? "r" : "w";
  if (marks === null) return plain(right) === plain(own) ? "r" : alike(plain(right), plain(own)) >= SIMILAR ? "p" : "w";
  const mark = marks.find(([wanted, given]) => wanted === right && given === own);
  return mark ? mark[2] : right === own ? "r" : "w";
}
function fieldCell(right, own, isObject, marks) {
  if (!isObject) return el("td", {}, [el("span", { class: "soft", text: "no object" })]);
  const code = fieldCode(right, own, marks);
  const mark = verdict(code, NAMES[code]);
  const words = own === undefined ? el("em", { class: "soft", text: "left out" }) : valueOf(own);
  return el("td", { dir: "auto" }, [mark, " ", words]);
}

function answerOf(name, m, i, row, language) {
  const code = data.levels[m][i], kind = kindOf(m, i), answer = row && row[2][m], task = taskOf(i);
  const scores = answer ? task.metrics.map((metric, k) => metric + " " + (answer[2][k] === null ? "–" : answer[2][k].toFixed(3))) : [];
  const heading = el("h3", {}, [
    swatch(m), el("span", { text: name }), glyph(m, i), el("span", { class: "word", text: NAMES[code] }),
    kind && kind[1] !== NAMES[code] ? el("span", { class: "kind", text: kind[1], title: kind[2] }) : null,
    el("span", { class: "scores", text: scores[0] || "" }),
  ]);
  const box = el("div", { class: "said" }, [heading]);
  if (!answer) return box;
  if (answer[5] === "error") {
    box.append(fill(el("div", { class: "err" }), answer[6] || "error"));
    return box;
  }
  box.append(written(answer, row[5] ? [] : row[1], code, name, language));
  const notes = notesOf(answer, scores);
  if (notes.length) box.append(el("div", { class: "meta", text: notes.join(" · ") }));
  return box;
}
// The answer verbatim, and below it the reference that it is nearest to.
function written(answer, references, code, name, language) {
  const whole = answer[0], isObject = parsed(answer[1] || whole) !== undefined;
  const own = longBox({ class: "value verbatim", dir: "auto", lang: language, "data-model-name": name }, whole);
  own.textContent = "";
  const copyIt = el("button", { type: "button", class: "quiet", text: "Copy", "aria-label": "Copy the answer of " + name });
  copyIt.addEventListener("click", () => copy(whole, copyIt));
  const label = el("div", { class: "label" }, [el("span", { text: whole === "" ? "answer: empty" : "answer" }), whole === "" ? null : copyIt]);
  if (isObject) {
    return el("div", {}, [folded("The answer as it was written", [label, fill(own, whole)])]);
  }
  const box = el("div", { class: "pair" }, [label, own]);
  // What was compared is a part of the text, or the text itself; the rest is no part of the score.
  const compared = answer[1] || whole, start = whole.indexOf(compared);
  const [nearest, ...others] = byNearness([compared], references);
  const isRight = code === "r" || code === "e" || code === "u";
  const line = (kind, text) => longBox({ class: "value " + kind, dir: "auto", lang: language }, text);
  const emptied = (node) => { node.textContent = ""; return node; };
  const mayMark = !isRight && nearest !== undefined && nearest.reference !== "" && nearest.common >= 0.3;
  const below = mayMark ? emptied(line("reference", nearest.reference)) : null;
  const into = (target) => { if (mayMark) aligned(target, below, nearest.reference, compared); else fill(target, compared); };
  if (start >= 0) {
    around(own, whole, start, compared, () => into(own));
    if (mayMark && start > 0 && start + compared.length <= ALIGNED) below.prepend(gapFor(whole.slice(0, start)));
  } else {
    // What was compared does not stand in the text: it was put together from it.
    const other = emptied(line("", compared));
    fill(own, whole);
    into(other);
    box.append(el("div", { class: "label", text: "compared as" }), other);
  }
  // What is expected stands above already, where there is nothing to compare with it.
  if (isRight || nearest === undefined || compared === "") return box;
  const several = references.length > 1 ? "expected, the nearest of " + references.length : "expected";
  const expected = below || referenceBox(nearest.reference, language);
  scrollTogether(own, expected);
  box.append(el("div", { class: "label", text: several }), expected);
  if (others.length) box.append(folded(plural(others.length, "other reference"), others.map((o) => referenceBox(o.reference, language))));
  return box;
}
function around(box, whole, start, compared, inside) {
  const outside = (text) => { if (text) box.append(fill(el("span", { class: "outside", title: "not part of what was compared" }), text)); };
  outside(whole.slice(0, start));
  inside();
  outside(whole.slice(start + compared.length));
}
function referenceBox(reference, language) {
  if (reference === "") return el("div", { class: "value" }, [el("em", { text: "not on the page" })]);
  return longBox({ class: "value reference", dir: "auto", lang: language }, reference);
}
function notesOf(answer, scores) {
  const notes = scores.slice(1);
  if (answer[7]) notes.push("the text is cut here; the run directory holds all " + count(answer[7]) + " characters");
  if (answer[5] === "length") notes.push("cut at the limit of new tokens");
  if (answer[10] !== null) notes.push("memory ran out: page shrunk to " + count(answer[10]) + " pixels");
  if (answer[11] !== null) notes.push(answer[11]);
  if (answer[3] !== null) notes.push(plural(answer[3], "token"));
  if (answer[4] !== null) notes.push(answer[4].toPrecision(3) + " s, asked alone");
  if (answer[8] !== null) notes.push("confidence " + answer[8].toFixed(2) + (answer[9] === null ? "" : ", least sure token " + answer[9].toFixed(2)));
  return notes;
}
function record(i, row) {
  const out = {
    task: taskOf(i).key, id: data.ids[i], document: data.documents[data.doc[i]][0], language: value("language", i),
    question: row && row[0], references: row && row[1], answers: {},
  };
  data.models.forEach((name, m) => {
    const answer = row && row[2][m], kind = kindOf(m, i);
    if (!answer) return;
    out.answers[name] = {
      mistake: kind && kind[0], text: answer[0], extracted: answer[1] || answer[0],
      scores: Object.fromEntries(taskOf(i).metrics.map((metric, k) => [metric, answer[2][k]])),
      generated_tokens: answer[3], seconds: answer[4], stop_reason: answer[5], error: answer[6] || null,
    };
  });
  return out;
}
