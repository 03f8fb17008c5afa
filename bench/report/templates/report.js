// The report's script: sorting, choosing, filters and the sample browser. Everything else is in the HTML.
// Texts of models and documents are data: they only ever become text nodes.
(function () {
  "use strict";
  var root = document.documentElement;
  root.dataset.js = "1";
  var $ = function (id) { return document.getElementById(id); };
  var PER_PAGE = 100, LONG = 2000, UNITS = 1500;
  var WORDS = { r: "right", e: "equivalent", p: "partly", w: "wrong", f: "failed", u: "unscored", o: "open" };
  var GLYPHS = { r: "✓", e: "≈", p: "◐", w: "✗", f: "!", u: "∅", o: "…" };
  var NAMES = { r: "right", e: "right, other format", p: "partly right", w: "wrong", f: "failed", u: "not scored", o: "not asked" };

  function el(name, attributes, children) {
    var node = document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) {
      if (attributes[key] === null || attributes[key] === undefined) return;
      if (key === "text") node.textContent = attributes[key];
      else node.setAttribute(key, attributes[key]);
    });
    (children || []).forEach(function (child) { if (child) node.append(child); });
    return node;
  }
  function clip(text, limit) {
    if (text.length <= limit) return text;
    var cut = text.slice(0, limit - 1);
    // Half a surrogate pair is no character.
    if (/[\ud800-\udbff]$/.test(cut)) cut = cut.slice(0, -1);
    return cut + "…";
  }
  // A word of thousands of letters takes a browser minutes to break; <wbr> gives it places.
  function fill(node, text) {
    for (var i = 0; i < text.length; ) {
      var end = Math.min(text.length, i + 300);
      if (end < text.length && /[\ud800-\udbff]/.test(text[end - 1])) end += 1;
      node.append(text.slice(i, end));
      if (end < text.length) node.append(document.createElement("wbr"));
      i = end;
    }
    return node;
  }
  function prose(node, text) {
    if (text.length <= LONG) return fill(node, text);
    var more = el("button", { type: "button", class: "quiet", text: "Show all " + text.length.toLocaleString("en") + " characters" });
    more.addEventListener("click", function () { node.textContent = ""; fill(node, text); });
    fill(node, clip(text, LONG)).append(" ", more);
    return node;
  }
  // An object is easier to compare a line a key; text that is none stays as it is.
  function pretty(text) {
    if (!/^\s*[\[{]/.test(text)) return text;
    try { return JSON.stringify(JSON.parse(text), null, 2); } catch (error) { return text; }
  }
  function langOf(tag) { return /^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}$/.test(tag) ? tag : null; }

  // Theme: the button turns what is seen; nothing is stored.
  $("theme").addEventListener("click", function () {
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (d) { d.open = true; });
  });

  function copy(text, button) {
    function done(ok) {
      var label = button.textContent;
      button.textContent = ok ? "Copied" : "Press Ctrl+C";
      setTimeout(function () { button.textContent = label; }, 1400);
    }
    function byHand() {
      var area = el("textarea", { "aria-hidden": "true" });
      area.value = text;
      (button.closest("dialog") || document.body).append(area);
      area.select();
      var ok = false;
      try { ok = document.execCommand("copy"); } catch (error) { ok = false; }
      area.remove();
      done(ok);
    }
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(function () { done(true); }, byHand);
    else byHand();
  }
  document.querySelectorAll("[data-copy]").forEach(function (button) {
    button.addEventListener("click", function () { copy(button.dataset.copy, button); });
  });

  // Sort a table by a column's header.
  document.querySelectorAll("table.board").forEach(function (board) {
    var heads = Array.prototype.slice.call(board.tHead.rows[0].cells);
    heads.forEach(function (head, column) {
      var button = el("button", { type: "button" });
      button.append.apply(button, Array.prototype.slice.call(head.childNodes));
      head.append(button);
      button.addEventListener("click", function () {
        var now = head.getAttribute("aria-sort");
        var first = head.dataset.first || "ascending";
        var next = now === null ? first : now === "ascending" ? "descending" : "ascending";
        heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", next);
        var sign = next === "ascending" ? 1 : -1;
        var rows = Array.prototype.slice.call(board.tBodies[0].rows);
        rows.sort(function (a, b) {
          var x = a.cells[column].dataset.v, y = b.cells[column].dataset.v;
          // What was not measured stays below, whichever way.
          if (x === "" || y === "") return (x === "") - (y === "");
          return sign * (head.dataset.sort === "num" ? x - y : x.localeCompare(y));
        });
        rows.forEach(function (row) { board.tBodies[0].append(row); });
      });
    });
  });

  // Choose a model: budgets grey out what exceeds them.
  document.querySelectorAll("form.choose").forEach(function (form) {
    var table = $(form.dataset.table), heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
    var inputs = Array.prototype.slice.call(form.querySelectorAll("input"));
    function column(key) { return heads.findIndex(function (head) { return head.dataset.column === key; }); }
    function number(row, key) { return parseFloat(row.cells[column(key)].dataset.v); }
    var higher = heads[column(form.dataset.best)].dataset.first === "descending";
    function choose() {
      var best = null, most = null, fit = 0, all = 0;
      var given = inputs.filter(function (input) { return parseFloat(input.value) >= 0; });
      Array.prototype.forEach.call(table.tBodies[0].rows, function (row) {
        var out = given.some(function (input) {
          return !(number(row, input.dataset.budget) <= parseFloat(input.value) * input.dataset.unit);
        });
        document.querySelectorAll('[data-model="' + row.dataset.model + '"]').forEach(function (node) { node.classList.toggle("out", out); });
        var score = number(row, form.dataset.best);
        // What has not finished is no choice.
        if (isNaN(score) || row.matches(".unfinished, .failed")) return;
        all += 1;
        if (out) return;
        fit += 1;
        if (best === null || (higher ? score > most : score < most)) { best = row; most = score; }
      });
      var pick = form.querySelector("output");
      pick.textContent = "";
      if (!given.length) {
        pick.append(el("span", { class: "soft", text: "Enter a budget: models that exceed it turn grey." }));
      } else if (best === null) {
        pick.append("No model fits.");
      } else {
        pick.append("Choose ", el("strong", { text: best.dataset.name }), fit === 1 ? ": it is the only model that fits, of " + all + "." : ": of the " + fit + " models that fit, it scores best (" + all + " in all).");
      }
    }
    form.addEventListener("input", choose);
    form.addEventListener("submit", function (event) { event.preventDefault(); });
    choose();
  });

  // Data islands: readable JSON, or gzip in base64.
  var loaded = {};
  function island(id) {
    if (loaded[id]) return loaded[id];
    var node = $(id);
    if (!node) return (loaded[id] = Promise.resolve(null));
    if (node.type === "application/json") return (loaded[id] = Promise.resolve(JSON.parse(node.textContent)));
    if (typeof DecompressionStream === "undefined") {
      return (loaded[id] = Promise.reject(new Error("this browser cannot inflate the data; a version from 2023 or later can")));
    }
    var binary = atob(node.textContent), bytes = new Uint8Array(binary.length);
    for (var i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
    var stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    node.textContent = "";
    return (loaded[id] = new Response(stream).json());
  }

  var data, settings, found = [], page = 0, current = -1, better = null, place = Object.create(null);
  var SELECTS = ["show", "kind", "model", "task", "language"];
  var state = { show: "", kind: "", model: "", task: "", language: "", doc_type: "", field: "", text: "" };

  function texts(i) {
    return island("texts-" + Math.floor(i / data.chunk)).then(function (chunk) { return chunk && chunk[i % data.chunk]; });
  }
  function value(column, i) { return data[column][0][data[column][1][i]]; }
  function taskOf(i) { return data.tasks[data.task[i]]; }
  function goodness(m, i) {
    var score = data.heads[m][i];
    return score === null ? null : taskOf(i).higher ? score : -score;
  }

  var TESTS = {
    wrong: function (l) { return l === "w" || l === "f"; },
    failed: function (l) { return l === "f"; },
    partly: function (l) { return l === "p"; },
    equivalent: function (l) { return l === "e"; },
    right: function (l) { return l === "r"; },
    open: function (l) { return l === "o"; }
  };
  function kindOf(m, i) { return data.kind_names[data.kinds[m][i]] || null; }
  function levelsOf(i) { return data.levels.map(function (column) { return column[i]; }); }
  function shown(i, models) {
    if (state.show === "different") {
      var seen = levelsOf(i).filter(function (l) { return l !== "o" && l !== "u"; });
      if (!seen.some(function (l) { return l !== seen[0]; })) return false;
    }
    if (state.show === "nobody") {
      var asked = levelsOf(i).filter(function (l) { return l !== "o"; });
      if (!(asked.length > 1 && asked.every(TESTS.wrong) && asked.indexOf("w") >= 0)) return false;
    }
    // What is said of an answer must hold of one and the same answer.
    var test = TESTS[state.show];
    return (!test && !state.kind) || models.some(function (m) {
      var kind = kindOf(m, i);
      return (!test || test(data.levels[m][i])) && (!state.kind || (kind !== null && kind[0] === state.kind));
    });
  }
  function filtered() {
    var chosen = data.models.indexOf(state.model);
    var models = chosen >= 0 ? [chosen] : data.models.map(function (_, m) { return m; });
    var a = better ? data.models.indexOf(better[0]) : -1, b = better ? data.models.indexOf(better[1]) : -1;
    var list = [];
    for (var i = 0; i < data.ids.length; i += 1) {
      if (state.task && taskOf(i).key !== state.task) continue;
      if (state.language && value("language", i) !== state.language) continue;
      if (state.doc_type && value("doc_type", i) !== state.doc_type) continue;
      if (state.field && value("field", i) !== state.field) continue;
      if (better) {
        var x = goodness(a, i), y = goodness(b, i);
        if (x === null || y === null || !(x - y > 1e-9)) continue;
      }
      if (shown(i, models)) list.push(i);
    }
    if (!state.text) return Promise.resolve(list);
    var needle = state.text.toLocaleLowerCase();
    return Promise.all(list.map(texts)).then(function (rows) {
      return list.filter(function (i, k) {
        var row = rows[k], hay = data.ids[i] + "\n" + data.documents[data.doc[i]][0];
        if (row) {
          hay += "\n" + row[0] + "\n" + row[1].join("\n");
          row[2].forEach(function (answer) { if (answer) hay += "\n" + answer[0] + "\n" + (answer[1] || "") + "\n" + (answer[6] || ""); });
        }
        return hay.toLocaleLowerCase().indexOf(needle) >= 0;
      });
    });
  }

  var turn = 0;
  function refresh() {
    var mine = (turn += 1);
    return filtered().then(function (list) {
      if (mine !== turn) return undefined;
      found = list;
      page = 0;
      chips();
      return draw();
    });
  }
  function chips() {
    var box = $("f-chips");
    box.textContent = "";
    ["doc_type", "field"].forEach(function (key) {
      if (!state[key]) return;
      var chip = el("button", { type: "button", text: (key === "field" ? "field: " : "document type: ") + state[key] + " ✕", "aria-label": "Remove the filter " + state[key] });
      chip.addEventListener("click", function () { state[key] = ""; refresh(); });
      box.append(chip);
    });
    if (better) {
      var chip = el("button", { type: "button", text: better[0] + " better than " + better[1] + " ✕", "aria-label": "Remove the comparison" });
      chip.addEventListener("click", function () { better = null; refresh(); });
      box.append(chip);
    }
    $("f-clear").hidden = !better && !Object.keys(state).some(function (key) { return state[key]; });
  }
  function glyph(m, i) {
    var code = data.levels[m][i], kind = kindOf(m, i), name = NAMES[code] + (kind && kind[1] !== NAMES[code] ? ": " + kind[1] : "");
    return el("b", { class: "g " + WORDS[code], text: GLYPHS[code], title: name, "aria-label": name });
  }
  function said(answer) { return answer ? (answer[5] === "error" ? answer[6] || "error" : answer[1] || answer[0]) : ""; }

  function draw() {
    var start = page * PER_PAGE, slice = found.slice(start, start + PER_PAGE);
    return Promise.all(slice.map(texts)).then(function (rows) {
      var body = $("list").tBodies[0];
      body.textContent = "";
      slice.forEach(function (i, k) { body.append(line(i, rows[k])); });
      if (!slice.length) body.append(el("tr", {}, [el("td", { class: "empty", colspan: data.models.length + 2, text: data.ids.length ? "No question matches the filter." : "The run contains no questions." })]));
      $("status").textContent = found.length === data.ids.length
        ? data.ids.length.toLocaleString("en") + (data.ids.length === 1 ? " question" : " questions")
        : found.length.toLocaleString("en") + " of " + data.ids.length.toLocaleString("en") + " questions";
      var pages = Math.ceil(found.length / PER_PAGE);
      $("pager").hidden = pages < 2;
      $("page-of").textContent = "Page " + (page + 1) + " of " + pages;
      $("prev-page").disabled = page === 0;
      $("next-page").disabled = page >= pages - 1;
    });
  }
  function line(i, row) {
    var language = langOf(value("language", i));
    var cells = [el("td", {}, [
      el("a", { class: "id", href: link(i), text: taskOf(i).key + " / " + data.ids[i] }),
      el("span", { class: "clamp", dir: "auto", lang: language, text: row ? clip(row[0], 200) : "(text not in this file)" })
    ])];
    cells.push(el("td", { "data-label": "expected" }, [el("span", { class: "clamp", dir: "auto", lang: language, text: row ? clip(row[1].join("  ·  "), 120) : "" })]));
    data.models.forEach(function (name, m) {
      var code = data.levels[m][i], answer = row && row[2][m];
      cells.push(el("td", { "data-label": name }, [glyph(m, i), " ", code === "r" || !answer ? "" : said(answer) ? el("span", { class: "answer", dir: "auto", lang: language, text: clip(said(answer), 60) }) : el("span", { class: "empty", text: "empty" })]));
    });
    var tr = el("tr", {}, cells);
    tr.addEventListener("click", function (event) { if (!event.target.closest("a")) location.hash = link(i); });
    return tr;
  }

  // One question.
  function link(i) { return "#s=" + encodeURIComponent(taskOf(i).key) + "/" + encodeURIComponent(data.ids[i]); }
  function byHash() {
    var match = /^#s=([^/]*)\/(.*)$/.exec(location.hash);
    if (!match) { if ($("detail").open) shut(); return; }
    var wanted;
    try { wanted = decodeURIComponent(match[1]) + "\n" + decodeURIComponent(match[2]); } catch (error) { return; }
    var i = place[wanted];
    if (i !== undefined) open(i);
  }
  function open(i) {
    current = i;
    texts(i).then(function (row) {
      if (current !== i) return;
      detail(i, row);
      if (!$("detail").open) {
        $("detail").showModal();
        $("d-text").focus();
      }
    });
  }
  function left() {
    current = -1;
    if (location.hash.indexOf("#s=") === 0) history.replaceState(null, "", location.pathname + location.search);
  }
  function shut() {
    $("detail").close();
    left();
  }
  function step(by) {
    var at = found.indexOf(current), next = found[at + by];
    if (next !== undefined) history.replaceState(null, "", link(next)), open(next);
  }

  function detail(i, row) {
    var at = found.indexOf(i), language = langOf(value("language", i)), task = taskOf(i);
    $("d-place").textContent = at >= 0 ? (at + 1).toLocaleString("en") + " of " + found.length.toLocaleString("en") : "not in the filtered list";
    $("d-prev").disabled = at <= 0;
    $("d-next").disabled = at < 0 || at >= found.length - 1;
    pages(data.documents[data.doc[i]][1]);
    var box = $("d-text");
    box.textContent = "";
    var tags = el("p", { class: "tags" });
    [task.key + " / " + data.ids[i], value("language", i), value("doc_type", i), value("field", i), "document " + data.documents[data.doc[i]][0]].forEach(function (tag) { if (tag) tags.append(el("span", { text: tag }), " "); });
    box.append(tags, prose(el("h3", { id: "d-question", class: row && row[0].length > 120 ? "long" : null, dir: "auto", lang: language }), row ? row[0] : data.ids[i]));
    if (!row) {
      box.append(el("p", { class: "empty", text: "The texts of this question were left out to keep the file small; they are in the run directory." }));
    } else {
      box.append(el("details", {}, [el("summary", { text: "Prompt" }), prose(el("pre", { class: "prompt", dir: "auto" }), (task.system !== null ? "[system] " + task.system + "\n\n" : "") + task.prompt.split("{question}").join(row[0]))]));
      row[1].forEach(function (reference, k) {
        box.append(el("div", { class: "expected", dir: "auto", lang: language }, [el("small", { text: k ? "or" : "expected" }), prose(el("span", { class: /^\s*[\[{]/.test(reference) ? "json" : null }), pretty(reference))]));
      });
    }
    data.models.forEach(function (name, m) { box.append(answerOf(name, m, i, row, language)); });
    box.scrollTop = 0;
  }
  function answerOf(name, m, i, row, language) {
    var code = data.levels[m][i], kind = kindOf(m, i), answer = row && row[2][m], task = taskOf(i);
    if (kind && kind[1] === NAMES[code]) kind = null;
    var swatch = $("list").tHead.rows[0].cells[m + 2].querySelector(".swatch");
    var scores = answer ? task.metrics.map(function (metric, k) { return metric + " " + (answer[2][k] === null ? "–" : answer[2][k].toFixed(3)); }) : [];
    var box = el("div", { class: "said" }, [el("h4", {}, [swatch ? swatch.cloneNode(true) : null, el("span", { text: name }), glyph(m, i), el("span", { class: "word", text: NAMES[code] }), kind ? el("span", { class: "kind", text: kind[1], title: kind[2] }) : null, el("span", { class: "scores", text: scores[0] || "" })])]);
    if (!answer) return box;
    if (answer[5] === "error") {
      box.append(prose(el("div", { class: "err" }), answer[6] || "error"));
      return box;
    }
    var compared = pretty(answer[1] || answer[0]), near = nearest(compared, row[1].map(pretty));
    if (answer[1]) {
      box.append(el("div", { class: "label", text: "raw output" }), prose(el("div", { class: "value soft", dir: "auto", lang: language }), answer[0]), el("div", { class: "label", text: "compared" }));
    }
    var shownValue = el("div", { class: compared !== (answer[1] || answer[0]) ? "value json" : "value", dir: "auto", lang: language });
    if (!compared) shownValue.append(el("span", { class: "empty", text: "empty answer" }));
    else if (near === null || code === "r" || alike(near, compared) < 0.3) prose(shownValue, compared);
    else difference(near, compared).forEach(function (part) { shownValue.append(part); });
    box.append(shownValue);
    var meta = scores.slice(1);
    if (answer[7]) meta.push("the text is cut here; the run directory holds all " + answer[7].toLocaleString("en") + " characters");
    if (answer[5] === "length") meta.push("cut at the limit of new tokens");
    if (answer[10] !== null) meta.push("memory ran out: page shrunk to " + answer[10].toLocaleString("en") + " pixels");
    if (answer[11] !== null) meta.push(answer[11]);
    if (answer[3] !== null) meta.push(answer[3] + (answer[3] === 1 ? " token" : " tokens"));
    if (answer[4] !== null) meta.push(answer[4].toPrecision(3) + " s, asked alone");
    if (answer[8] !== null) meta.push("confidence " + answer[8].toFixed(2) + (answer[9] === null ? "" : ", least sure token " + answer[9].toFixed(2)));
    if (meta.length) box.append(el("div", { class: "meta", text: meta.join(" · ") }));
    return box;
  }

  // Differences by character (by grapheme where the browser can), never by half of one.
  function units(text) {
    var cut = text.slice(0, UNITS);
    if (window.Intl && Intl.Segmenter) return Array.from(new Intl.Segmenter().segment(cut), function (s) { return s.segment; });
    return Array.from(cut);
  }
  function matrix(a, b) {
    var wide = b.length + 1, d = new Uint16Array((a.length + 1) * wide), i, j;
    for (i = a.length - 1; i >= 0; i -= 1) for (j = b.length - 1; j >= 0; j -= 1) {
      d[i * wide + j] = a[i] === b[j] ? d[(i + 1) * wide + j + 1] + 1 : Math.max(d[(i + 1) * wide + j], d[i * wide + j + 1]);
    }
    return d;
  }
  function alike(reference, answer) {
    var r = units(reference.slice(0, 400)), a = units(answer.slice(0, 400));
    return 2 * matrix(r, a)[0] / Math.max(1, r.length + a.length);
  }
  function nearest(answer, references) {
    var best = null, most = -1;
    references.slice(0, 12).forEach(function (reference) {
      var common = alike(reference, answer);
      if (common > most) { most = common; best = reference; }
    });
    return best;
  }
  function difference(reference, answer) {
    var a = units(reference), b = units(answer), d = matrix(a, b), wide = b.length + 1, i = 0, j = 0, parts = [], kind = "", run = "";
    function push(next, text) {
      if (next !== kind && run) { parts.push(kind ? fill(el(kind, { title: kind === "ins" ? "not expected" : "missing" }), run) : fill(el("span"), run)); run = ""; }
      kind = next;
      run += text;
    }
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) { push("", a[i]); i += 1; j += 1; }
      else if (i < a.length && (j >= b.length || d[(i + 1) * wide + j] >= d[i * wide + j + 1])) { push("del", a[i]); i += 1; }
      else { push("ins", b[j]); j += 1; }
    }
    push("end", "");
    if (answer.length > UNITS) parts.push(prose(el("span"), answer.slice(UNITS)));
    return parts;
  }

  // Page images.
  var zoom = 0;
  function pages(list) {
    var tabs = $("d-tabs"), view = $("d-view"), now = 0;
    tabs.textContent = "";
    view.textContent = "";
    function show(k) {
      now = k;
      Array.prototype.forEach.call(tabs.querySelectorAll("[data-page]"), function (b) { b.setAttribute("aria-pressed", String(Number(b.dataset.page) === k)); });
      view.textContent = "";
      var entry = list[k];
      if (!entry) { view.append(el("p", { class: "absent", text: "This document has no pages." })); return; }
      if (entry[0] < 0) {
        var note = [el("p", { text: "This page image is not in the file." }), el("p", { text: entry[1] })];
        if (settings.beside) note.push(el("a", { href: entry[2], target: "_blank", rel: "noopener", text: "Open it from the run directory" }));
        view.append(el("div", { class: "absent" }, note));
        return;
      }
      var image = el("img", { alt: "Page " + (k + 1) + " of " + list.length + ": " + entry[1], src: "data:image/jpeg;base64," + $("image-" + entry[0]).textContent });
      image.addEventListener("click", function (event) {
        var x = event.offsetX / image.clientWidth, y = event.offsetY / image.clientHeight;
        scale(zoom ? 0 : 1);
        view.scrollLeft = x * view.scrollWidth - view.clientWidth / 2;
        view.scrollTop = y * view.scrollHeight - view.clientHeight / 2;
      });
      view.append(image);
      scale(zoom);
    }
    list.forEach(function (entry, k) {
      if (list.length < 2) return;
      var tab = el("button", { type: "button", "data-page": k, text: "Page " + (k + 1), "aria-pressed": "false" });
      tab.addEventListener("click", function () { show(k); });
      tabs.append(tab);
    });
    tabs.append(el("span", { class: "soft", text: list[0] ? list[0][1].replace(/ · \d+$/, "") : "" }), el("span", { class: "gap" }));
    [["−", "Zoom out", -0.5], ["Fit", "Fit the page", 0], ["+", "Zoom in", 0.5]].forEach(function (z) {
      var button = el("button", { type: "button", text: z[0], "aria-label": z[1] });
      button.addEventListener("click", function () { scale(z[2] ? Math.min(4, Math.max(0, zoom + z[2])) : 0); });
      tabs.append(button);
    });
    function scale(next) {
      zoom = next;
      view.classList.toggle("fit", zoom === 0);
      view.classList.toggle("zoomed", zoom > 0);
      var image = view.querySelector("img");
      if (!image) return;
      // 1 is the width of the view, and every step half of it more.
      image.style.width = zoom ? (view.clientWidth - 20) * (0.5 + zoom) + "px" : "";
    }
    show(0);
  }

  function setFilter(next) {
    Object.keys(state).forEach(function (key) { state[key] = next[key] || ""; });
    better = next.better || null;
    SELECTS.concat("text").forEach(function (key) { if ($("f-" + key)) $("f-" + key).value = state[key]; });
    return refresh();
  }
  function wire() {
    var languages = data.language[0].filter(Boolean).sort();
    languages.forEach(function (language) { $("f-language").append(el("option", { value: language, text: language })); });
    var wait;
    SELECTS.forEach(function (key) {
      if ($("f-" + key)) $("f-" + key).addEventListener("change", function (event) { state[key] = event.target.value; refresh(); });
    });
    $("f-text").addEventListener("input", function (event) {
      clearTimeout(wait);
      wait = setTimeout(function () { state.text = event.target.value.trim(); refresh(); }, 200);
    });
    $("filters").addEventListener("submit", function (event) { event.preventDefault(); });
    $("f-clear").addEventListener("click", function () { setFilter({}); });
    $("prev-page").addEventListener("click", function () { page -= 1; draw().then(top); });
    $("next-page").addEventListener("click", function () { page += 1; draw().then(top); });
    function top() { $("samples").scrollIntoView(); }
    document.addEventListener("click", function (event) {
      var anchor = event.target.closest("a[data-filter]");
      if (anchor) setFilter(JSON.parse(anchor.dataset.filter));
    });
    var dialog = $("detail");
    $("d-prev").addEventListener("click", function () { step(-1); });
    $("d-next").addEventListener("click", function () { step(1); });
    $("d-close").addEventListener("click", shut);
    $("d-link").addEventListener("click", function (event) { copy(location.href.split("#")[0] + link(current), event.target); });
    $("d-json").addEventListener("click", function (event) {
      var button = event.target, i = current;
      texts(i).then(function (row) { copy(JSON.stringify(record(i, row), null, 2), button); });
    });
    dialog.addEventListener("close", left);
    dialog.addEventListener("click", function (event) { if (event.target === dialog) shut(); });
    dialog.addEventListener("keydown", function (event) {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
      if (event.key === "ArrowLeft") step(-1);
      else if (event.key === "ArrowRight") step(1);
      else return;
      event.preventDefault();
    });
    window.addEventListener("hashchange", byHash);
  }
  function record(i, row) {
    var out = { task: taskOf(i).key, id: data.ids[i], document: data.documents[data.doc[i]][0], language: value("language", i), question: row && row[0], references: row && row[1], answers: {} };
    data.models.forEach(function (name, m) {
      var answer = row && row[2][m], scores = {};
      if (!answer) return;
      taskOf(i).metrics.forEach(function (metric, k) { scores[metric] = answer[2][k]; });
      var kind = kindOf(m, i);
      out.answers[name] = { mistake: kind && kind[0], text: answer[0], extracted: answer[1] || answer[0], scores: scores, generated_tokens: answer[3], seconds: answer[4], stop_reason: answer[5], error: answer[6] || null };
    });
    return out;
  }

  function ready(problem) {
    if (problem) $("status").textContent = "The samples cannot be shown: " + problem.message;
    root.dataset.ready = problem ? "failed" : "1";
  }
  if (!$("index")) { ready(null); return; }
  settings = JSON.parse($("settings").textContent);
  island("index").then(function (index) {
    data = index;
    data.ids.forEach(function (id, i) { place[taskOf(i).key + "\n" + id] = i; });
    wire();
    return setFilter({}).then(byHash);
  }).then(function () { ready(null); }, ready);
})();
