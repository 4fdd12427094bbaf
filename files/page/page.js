"use strict";
// Adds to the page what only a pointer can use. Nothing here is needed to read it.
document.querySelectorAll(".wide").forEach((box) => {
  const svg = box.querySelector("svg");
  if (!svg) return;
  const tools = document.createElement("div");
  let zoom = 1;
  const set = (next) => { zoom = Math.min(Math.max(next, 1), 12); svg.style.width = 100 * zoom + "%"; };
  [["Zoom in", 1.5], ["Zoom out", 1 / 1.5], ["Whole run", 0]].forEach(([name, by]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => set(by ? zoom * by : 1));
    tools.append(button);
  });
  box.before(tools);
  const hover = document.createElement("div");
  hover.id = "hover";
  const { from, to, left, width } = svg.dataset;
  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect();
    const unit = svg.viewBox.baseVal.width / frame.width;
    const share = ((event.clientX - frame.left) * unit - left) / width;
    if (share < 0 || share > 1) { hover.remove(); return; }
    const at = new Date(1000 * (+from + share * (to - from)));
    hover.textContent = at.toISOString().slice(11, 23) + " UTC";
    hover.style.left = Math.min(event.clientX + 14, innerWidth - 130) + "px";
    hover.style.top = event.clientY + 14 + "px";
    document.body.append(hover);
  });
  svg.addEventListener("pointerleave", () => hover.remove());
});
document.querySelectorAll("table[data-filter]").forEach((table) => {
  const rows = [...table.tBodies[0].rows];
  const tools = document.createElement("div");
  ["all", "fail", "unknown", "pass"].forEach((verdict) => {
    const count = rows.filter((row) => verdict === "all" || row.dataset.verdict === verdict).length;
    if (!count) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = verdict + " " + count;
    button.setAttribute("aria-pressed", String(verdict === "all"));
    button.addEventListener("click", () => {
      rows.forEach((row) => { row.hidden = verdict !== "all" && row.dataset.verdict !== verdict; });
      tools.querySelectorAll("button").forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
    });
    tools.append(button);
  });
  table.parentElement.before(tools);
});
