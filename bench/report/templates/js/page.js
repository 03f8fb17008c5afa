
// The pages of a document below one another, with zoom by wheel, pinch, buttons and keys.
const viewer = { zoom: 1, pages: 0 };
const ZOOMS = { least: 1, most: 8, step: 1.25 };

function showPages(i, places) {
  const view = $("d-view"), strip = $("d-thumbs"), list = pagesOf(i);
  view.textContent = "";
  strip.textContent = "";
  viewer.pages = list.length;
  viewer.zoom = 1;
  if (!list.length) view.append(el("p", { class: "absent", text: "This document has no pages." }));
  list.forEach((entry, k) => {
    const figure = el("figure", { class: "page", id: "d-page-" + k });
    const source = imageOf(entry);
    if (source) {
      const image = el("img", { alt: "Page " + (k + 1) + " of " + list.length + ": " + entry[1] });
      image.addEventListener("load", () => { fit(); if (places.length && places[0][0] === k && list.length > 1) toPlace(); });
      image.src = source;
      figure.append(image, ...places.filter((p) => p[0] === k).map(box));
    } else {
      figure.append(...missing(entry));
      figure.classList.add("absent");
    }
    view.append(figure);
    if (list.length > 1) {
      const button = el("button", { type: "button", "aria-label": "Page " + (k + 1) }, [
        source ? el("img", { alt: "", src: source }) : null, el("span", { text: k + 1 }),
      ]);
      button.addEventListener("click", () => { figure.scrollIntoView({ block: "start" }); });
      strip.append(button);
    }
  });
  strip.hidden = list.length < 2;
  $("d-file").textContent = list[0] ? list[0][1].replace(/ · \d+$/, "") : "";
  $("d-to-place").hidden = !places.length;
  view.scrollTop = 0;
  fit();
}
function missing(entry) {
  const note = [el("p", { text: "This page image is not in the file." }), el("p", { text: entry[1] })];
  if (settings.beside) note.push(el("a", { href: entry[2], target: "_blank", rel: "noopener", text: "Open it from the run directory" }));
  return note;
}
function box([, left, top, right, bottom]) {
  const node = el("div", { class: "place", title: "Here the page says what is expected" });
  const percent = (share) => (share * 100).toFixed(3) + "%";
  Object.assign(node.style, { left: percent(left), top: percent(top), width: percent(right - left), height: percent(bottom - top) });
  return node;
}
function toPlace() {
  const node = $("d-view").querySelector(".place");
  if (node) node.scrollIntoView({ block: "center", inline: "center" });
}
// At zoom 1 one page fits the view; of several pages the width does.
function fit() {
  const view = $("d-view"), wide = view.clientWidth - 20, high = view.clientHeight - 20;
  all("figure.page", view).forEach((figure) => {
    const image = figure.querySelector("img");
    if (!image || !image.naturalWidth) return;
    const shape = image.naturalWidth / image.naturalHeight;
    const base = viewer.pages > 1 ? Math.min(wide, 1.3 * high * shape) : Math.min(wide, high * shape);
    figure.style.width = base * viewer.zoom + "px";
  });
  $("d-zoom").textContent = Math.round(viewer.zoom * 100) + " %";
}
// Zoom so that what lies at (x, y) of the view stays there.
function zoomTo(next, x, y) {
  const view = $("d-view"), before = viewer.zoom;
  viewer.zoom = Math.min(ZOOMS.most, Math.max(ZOOMS.least, next));
  if (viewer.zoom === before) return;
  const left = x === undefined ? view.clientWidth / 2 : x, top = y === undefined ? view.clientHeight / 2 : y;
  const across = (view.scrollLeft + left) / view.scrollWidth, down = (view.scrollTop + top) / view.scrollHeight;
  fit();
  view.scrollLeft = across * view.scrollWidth - left;
  view.scrollTop = down * view.scrollHeight - top;
}
function wirePages() {
  const view = $("d-view"), at = (event) => {
    const frame = view.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  };
  view.addEventListener("wheel", (event) => {
    // A pinch on a touch pad comes as a wheel with Ctrl. Without it, the wheel turns the pages of a document of
    // several, and zooms into a single one.
    if (!event.ctrlKey && !event.metaKey && viewer.pages > 1) return;
    event.preventDefault();
    // A pinch comes in steps of a few pixels, a click of the wheel in one of a hundred.
    const turned = Math.max(-40, Math.min(40, event.ctrlKey ? event.deltaY : event.deltaY / 4));
    zoomTo(viewer.zoom * Math.exp(-turned * 0.01), ...at(event));
  }, { passive: false });
  let fingers = 0, dragged = null;
  const apart = (touches) => Math.hypot(touches[0].clientX - touches[1].clientX, touches[0].clientY - touches[1].clientY);
  view.addEventListener("touchstart", (event) => { if (event.touches.length === 2) fingers = apart(event.touches); }, { passive: true });
  view.addEventListener("touchmove", (event) => {
    if (event.touches.length !== 2 || !fingers) return;
    event.preventDefault();
    const now = apart(event.touches), [a, b] = [at(event.touches[0]), at(event.touches[1])];
    zoomTo((viewer.zoom * now) / fingers, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
    fingers = now;
  }, { passive: false });
  view.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    dragged = [event.clientX, event.clientY, view.scrollLeft, view.scrollTop];
    event.preventDefault();
    view.focus();
  });
  window.addEventListener("pointermove", (event) => {
    if (!dragged) return;
    view.scrollLeft = dragged[2] - event.clientX + dragged[0];
    view.scrollTop = dragged[3] - event.clientY + dragged[1];
  });
  window.addEventListener("pointerup", () => { dragged = null; });
  view.addEventListener("dblclick", (event) => zoomTo(viewer.zoom > 1 ? 1 : 2.5, ...at(event)));
  $("d-in").addEventListener("click", () => zoomTo(viewer.zoom * ZOOMS.step));
  $("d-out").addEventListener("click", () => zoomTo(viewer.zoom / ZOOMS.step));
  $("d-fit").addEventListener("click", () => zoomTo(1));
  $("d-to-place").addEventListener("click", () => { if (viewer.zoom < 2) zoomTo(2); toPlace(); });
  window.addEventListener("resize", () => { if ($("detail").open) fit(); });
}
