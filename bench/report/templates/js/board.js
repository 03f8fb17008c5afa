
// Tables that can be sorted by a click on a heading.
all("table.board").forEach((board) => {
  const heads = Array.from(board.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const button = el("button", { type: "button" });
    button.append(...Array.from(head.childNodes));
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === null ? head.dataset.first || "ascending" : now === "ascending" ? "descending" : "ascending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const value = (row) => row.cells[column].dataset.v;
      Array.from(board.tBodies).forEach((body) => {
        const rows = Array.from(body.rows).filter((row) => row.dataset.model);
        rows.sort((a, b) => {
          const x = value(a), y = value(b);
          // What was not measured stays below, whichever way.
          if (x === "" || y === "") return (x === "") - (y === "");
          return sign * (head.dataset.sort === "num" ? x - y : x.localeCompare(y));
        });
        body.append(...rows);
      });
    });
  });
});

// Budgets: models that miss one turn grey and move down; the others are ranked anew among themselves.
const budgets = { fields: [], apply: () => {} };
all("form.choose").forEach((form) => {
  const table = $(form.dataset.table), heads = Array.from(table.tHead.rows[0].cells);
  const inputs = all("input", form), column = {};
  heads.forEach((head, place) => { column[head.dataset.column] = place; });
  const bodies = Array.from(table.tBodies).map((body) => ({
    body, rows: Array.from(body.rows).filter((row) => row.dataset.model),
  }));
  bodies.forEach(({ rows }) => rows.forEach((row) => {
    row.dataset.first = row.cells[column.rank].dataset.v;
    row.dataset.wasBest = row.classList.contains("best") ? "1" : "";
  }));
  const clear = $("no-budget"), pick = $("pick");

  function misses(row, input) {
    const cell = row.cells[column[input.dataset.budget]];
    const value = parseFloat(cell.dataset.budget === undefined ? cell.dataset.v : cell.dataset.budget);
    const limit = parseFloat(input.value) * input.dataset.unit;
    return !(input.dataset.limit === "least" ? value >= limit : value <= limit);
  }
  function rankAnew(rows, out) {
    const fitting = rows.filter((row) => !out.has(row) && row.dataset.first !== "");
    const there = new Set(fitting.map((row) => row.dataset.model));
    const rank = (row) => 1 + row.dataset.better.split(" ").filter((other) => there.has(other)).length;
    const ranks = fitting.map(rank);
    // Where no model answered, none is recommended.
    const hasBest = rows.some((row) => row.dataset.wasBest);
    rows.forEach((row) => {
      const cell = row.cells[column.rank], at = fitting.indexOf(row);
      row.classList.toggle("best", at === 0 && hasBest);
      if (row.dataset.first === "") return;
      const shared = at >= 0 && ranks.filter((other) => other === ranks[at]).length > 1;
      cell.textContent = at < 0 ? "–" : ranks[at] + (shared ? "=" : "");
      cell.dataset.v = at < 0 ? "" : ranks[at];
    });
    return fitting;
  }
  function front(out) {
    // The line of the models that no other beats, drawn again through those that fit.
    all("svg.plot[data-better]").forEach((plot) => {
      const line = plot.querySelector(".front");
      if (!line) return;
      const gone = new Set(Array.from(out, (row) => row.dataset.model)), sign = plot.dataset.better === "higher" ? 1 : -1;
      const marks = all(".point", plot).filter((mark) => !gone.has(mark.dataset.model));
      const places = marks.map((mark) => [parseFloat(mark.dataset.x), parseFloat(mark.dataset.y)]);
      places.sort((a, b) => a[0] - b[0] || sign * (a[1] - b[1]));
      let path = "", least = Infinity;
      places.forEach(([x, y]) => {
        if (!(sign * y < least)) return;
        path += path ? "H" + x + "V" + y : "M" + x + "," + y;
        least = sign * y;
      });
      line.setAttribute("d", path);
    });
  }
  function choose() {
    const given = inputs.filter((input) => parseFloat(input.value) >= 0);
    const out = new Set();
    bodies.forEach(({ rows }) => rows.forEach((row) => { if (given.some((input) => misses(row, input))) out.add(row); }));
    const sorted = heads.some((head) => head.hasAttribute("aria-sort")) && !heads[column.rank].hasAttribute("aria-sort");
    const first = [];
    let fit = 0, ranked = 0;
    bodies.forEach(({ body, rows }) => {
      const fitting = rankAnew(rows, out);
      if (fitting.length) first.push(fitting[0]);
      fit += fitting.length;
      ranked += rows.filter((row) => row.dataset.first !== "").length;
      if (!sorted) body.append(...rows.filter((row) => !out.has(row)), ...rows.filter((row) => out.has(row)));
    });
    bodies.forEach(({ rows }) => rows.forEach((row) => {
      all('[data-model="' + row.dataset.model + '"]').forEach((node) => node.classList.toggle("out", out.has(row)));
    }));
    front(out);
    clear.hidden = !given.length;
    pick.textContent = "";
    if (!given.length || !ranked) return;
    if (fit === ranked) { pick.append(ranked === 1 ? "The model fits." : "All " + plural(ranked, "model") + " fit."); return; }
    if (!first.length) { pick.append("No model fits."); return; }
    pick.append("Within these budgets take ");
    first.forEach((row, k) => pick.append(k ? " or " : "", el("strong", { text: row.dataset.name })));
    pick.append("; " + plural(ranked - fit, "model") + (ranked - fit === 1 ? " does" : " do") + " not fit.");
  }
  function write() {
    const values = {};
    inputs.forEach((input) => {
      // An empty field is a choice where something is given.
      values[input.dataset.budget] = input.value === input.dataset.given ? null : input.value;
    });
    writeAddress(values);
  }
  form.addEventListener("input", () => { choose(); write(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  clear.addEventListener("click", () => {
    inputs.forEach((input) => { input.value = ""; });
    choose();
    write();
    inputs[0].focus();
  });
  budgets.apply = (values) => {
    inputs.forEach((input) => {
      const value = values[input.dataset.budget];
      const given = value === undefined ? input.dataset.given : parseFloat(value) >= 0 ? value : "";
      if (input.value !== given) input.value = given;
    });
    choose();
  };
  budgets.apply(address.values);
});

// A model that is pointed at lights up in the plots and in the tables.
document.addEventListener("pointerover", (event) => {
  const node = event.target.closest && event.target.closest("[data-model]");
  const model = node ? node.dataset.model : "";
  all(".lit").forEach((other) => { if (other.dataset.model !== model) other.classList.remove("lit"); });
  if (node && !node.classList.contains("lit")) all('[data-model="' + model + '"]').forEach((other) => other.classList.add("lit"));
});
