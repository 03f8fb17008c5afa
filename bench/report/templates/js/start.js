
// What a person can do, by mouse and by keys.
const KEYS = {
  j: () => step(1), ArrowRight: () => step(1), k: () => step(-1), ArrowLeft: () => step(-1),
  "+": () => zoomTo(viewer.zoom * ZOOMS.step), "=": () => zoomTo(viewer.zoom * ZOOMS.step),
  "-": () => zoomTo(viewer.zoom / ZOOMS.step), 0: () => zoomTo(1), b: () => $("d-to-place").click(),
};
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const inside = $("detail").open;
  let act = null;
  if (event.key === "?") act = () => ($("help").open ? $("help").close() : $("help").showModal());
  else if ($("help").open) return;
  else if (inside) act = KEYS[event.key];
  else if (event.key === "/") act = () => { go("samples"); $("f-text").focus(); };
  else if (event.key === "j" && found.length) act = () => visit(found[0]);
  if (!act || (/^Arrow/.test(event.key) && event.target.closest(".d-view, .fields-box") && viewer.zoom > 1)) return;
  event.preventDefault();
  act();
}
function wire() {
  data.language[0].filter(Boolean).sort().forEach((language) => $("f-language").append(el("option", { value: language, text: language })));
  SELECTS.forEach((key) => {
    if ($("f-" + key)) $("f-" + key).addEventListener("change", (event) => changed({ [key]: event.target.value }));
  });
  let wait;
  $("f-text").addEventListener("input", (event) => {
    clearTimeout(wait);
    wait = setTimeout(() => changed({ text: event.target.value.trim() }), 90);
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("f-clear").addEventListener("click", () => {
    setFilter({});
    changed({});
  });
  $("prev-page").addEventListener("click", () => turnPage(-1));
  $("next-page").addEventListener("click", () => turnPage(1));
  const dialog = $("detail");
  $("d-prev").addEventListener("click", () => step(-1));
  $("d-next").addEventListener("click", () => step(1));
  $("d-close").addEventListener("click", shut);
  $("d-help").addEventListener("click", () => $("help").showModal());
  $("d-link").addEventListener("click", (event) => copy(location.href.split("#")[0] + linkTo(current), event.target));
  $("d-json").addEventListener("click", (event) => copy(JSON.stringify(record(current, rowOf(current)), null, 2), event.target));
  dialog.addEventListener("close", left);
  [dialog, $("help")].forEach((each) => each.addEventListener("click", (event) => { if (event.target === each) each.close(); }));
  $("h-close").addEventListener("click", () => $("help").close());
  document.addEventListener("keydown", onKey);
  wirePages();
}
// Filters, budgets and the open question as the address says.
function byAddress() {
  address = readAddress(location.hash);
  budgets.apply(address.values);
  if (!data) return Promise.resolve();
  const wanted = FILTERS.some((key) => (address.values[key] || "") !== state[key]);
  return (wanted ? setFilter(address.values) : Promise.resolve()).then(() => {
    const s = address.values.s, i = s && place.get(s.join("\n"));
    if (i === undefined) { shut(); return undefined; }
    return i === current ? undefined : open(i);
  });
}
// Links inside the page keep what was chosen.
document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[href^='#']");
  if (!anchor || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const aim = readAddress(anchor.getAttribute("href"));
  let filters = {};
  if (anchor.dataset.filter && data) {
    const { better, ...rest } = JSON.parse(anchor.dataset.filter);
    setFilter(better ? { ...rest, better: better[0], than: better[1] } : rest);
    filters = chosen();
  }
  writeAddress({ ...filters, ...aim.values }, aim.section || address.section, true);
  if (aim.values.s) byAddressOf(aim.values.s);
  else go(aim.section);
});
function byAddressOf(s) {
  const i = place.get(s.join("\n"));
  if (i !== undefined) open(i);
}
window.addEventListener("hashchange", byAddress);
window.addEventListener("popstate", byAddress);

function ready(problem) {
  if (problem) $("status").textContent = "The samples cannot be shown: " + problem.message;
  root.dataset.ready = problem ? "failed" : "1";
}
function start() {
  if (!$("index")) return ready(null);
  settings = JSON.parse($("settings").textContent);
  return island("index").then((index) => {
    data = index;
    data.ids.forEach((id, i) => place.set(taskOf(i).key + "\n" + id, i));
    wire();
    return setFilter(address.values).then(byAddress);
  }).then(() => {
    // A browser finds a section only by an address that says nothing else, and where it was before the page was filled.
    if (address.section) go(address.section, "instant");
    ready(null);
    inflateTheRest(1);
  }, ready);
}
// The other texts are inflated while nobody waits, so that filters and searches find them ready.
function inflateTheRest(number) {
  if (number >= data.chunks) return;
  setTimeout(() => chunkOf(number).then(() => inflateTheRest(number + 1)), 30);
}
start();
