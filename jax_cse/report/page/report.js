"use strict";
// Choosing a function and a graph, and marking what belongs to a finding.
(() => {
  const all = (root, query) => [...root.querySelectorAll(query)];
  const numbers = (text) => (text || "").split(" ").filter(Boolean);
  const chooser = document.getElementById("function");
  if (!chooser) return;
  document.documentElement.classList.add("js");
  const functions = all(document, "section.function");
  const status = document.querySelector(".selection");

  function chooseFunction(number) {
    chooser.value = number;
    functions.forEach((f, i) => { f.hidden = String(i + 1) !== number; });
    for (const row of all(document, ".functions tbody tr")) {
      row.classList.toggle("chosen", row.dataset.function === number);
    }
    status.textContent = "";
    for (const f of functions) mark(f, []);
    showFirst(functions[number - 1]);
  }

  function choosePicture(section, number) {
    section.querySelector("select.pictures").value = number;
    for (const picture of all(section, ".picture")) {
      picture.hidden = picture.dataset.picture !== number;
    }
    showFirst(section);
  }

  // Scrolls a frame, not the page, so that an element of it is in sight.
  function bringIntoSight(frame, element) {
    if (!frame || !element) return;
    const inside = element.getBoundingClientRect();
    const around = frame.getBoundingClientRect();
    if (!around.height) return;
    frame.scrollTop += inside.top + inside.height / 2
      - around.top - around.height / 2;
    if (element.matches(".n")) frame.scrollLeft += inside.left + inside.width / 2
      - around.left - around.width / 2;
  }

  function showFirst(section) {
    for (const frame of all(section, ".picture:not([hidden]) .graph-frame")) {
      bringIntoSight(frame, frame.querySelector(".n[data-findings]")
        || frame.querySelector(".n"));
    }
  }

  // A graph is moved by drawing at it.
  function drag(frame) {
    let from = null;
    frame.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && event.target.closest("svg")
          && !event.target.closest(".n")) {
        from = [event.clientX + frame.scrollLeft, event.clientY + frame.scrollTop];
        event.preventDefault();
        frame.focus({ preventScroll: true });
      }
    });
    addEventListener("pointermove", (event) => {
      if (from) {
        frame.scrollLeft = from[0] - event.clientX;
        frame.scrollTop = from[1] - event.clientY;
      }
    });
    addEventListener("pointerup", () => { from = null; });
  }

  function mark(section, chosen) {
    for (const element of all(section, "[data-findings]")) {
      element.classList.toggle("picked",
        numbers(element.dataset.findings).some((n) => chosen.includes(n)));
    }
    for (const button of all(section, "[data-finding]")) {
      button.setAttribute("aria-pressed",
        String(chosen.includes(button.dataset.finding)));
    }
    section.dataset.chosen = chosen.join(" ");
  }

  function chooseFindings(section, chosen) {
    if (chosen.join(" ") === section.dataset.chosen) chosen = [];
    mark(section, chosen);
    if (!chosen.length) {
      status.textContent = "";
      return;
    }
    const pictures = all(section, ".picture");
    const has = (p) => numbers(p.dataset.findingsInside)
      .some((n) => chosen.includes(n));
    const shown = pictures.find((p) => !p.hidden);
    const other = pictures.find(has);
    if (shown && !has(shown) && other) {
      choosePicture(section, other.dataset.picture);
    }
    for (const frame of all(section, ".source, .graph-frame")) {
      bringIntoSight(frame, frame.querySelector(".again.picked, .apart.picked")
        || frame.querySelector(".n.picked, tr.picked"));
    }
    const lines = all(section, ".source .picked .number")
      .map((cell) => cell.textContent);
    status.textContent = `Finding ${chosen.join(", ")}`
      + (lines.length ? `: line ${lines.join(", ")}` : "");
  }

  function zoom(section, how) {
    for (const svg of all(section, ".picture:not([hidden]) svg.graph")) {
      const [, , width, height] = numbers(svg.getAttribute("viewBox"));
      const frame = svg.parentElement.clientWidth;
      const now = svg.getAttribute("width") / width;
      const scale = how === "fit" ? Math.min(1, frame / width)
        : Math.min(3, Math.max(0.1, now * (how === "in" ? 1.25 : 0.8)));
      svg.setAttribute("width", width * scale);
      svg.setAttribute("height", height * scale);
    }
  }

  for (const section of functions) {
    const chosen = section.querySelector("select.pictures");
    if (chosen) {
      choosePicture(section, chosen.value);
      chosen.addEventListener("change",
        () => choosePicture(section, chosen.value));
    }
    all(section, ".graph-frame").forEach(drag);
    section.addEventListener("click", (event) => {
      const zoomed = event.target.closest("[data-zoom]");
      if (zoomed) return zoom(section, zoomed.dataset.zoom);
      const button = event.target.closest("[data-finding]");
      if (button) return chooseFindings(section, [button.dataset.finding]);
      const marked = event.target.closest("[data-findings]");
      if (marked && !String(getSelection())) {
        chooseFindings(section, numbers(marked.dataset.findings));
      }
    });
    section.addEventListener("keydown", (event) => {
      const node = event.target.closest("svg [data-findings]");
      if (node && (event.key === "Enter" || event.key === " ")) {
        event.preventDefault();
        chooseFindings(section, numbers(node.dataset.findings));
      } else if (event.key === "Escape") {
        chooseFindings(section, []);
      }
    });
  }

  // #function-2, or #function-2-finding-1.
  function follow() {
    const match = /^#function-(\d+)(?:-finding-(\d+))?$/.exec(location.hash);
    if (!match || !functions[match[1] - 1]) return false;
    chooseFunction(match[1]);
    if (match[2]) chooseFindings(functions[match[1] - 1], [match[2]]);
    return true;
  }

  const first = functions.findIndex((f) => f.querySelector("[data-finding]"));
  chooser.addEventListener("change", () => chooseFunction(chooser.value));
  addEventListener("hashchange", follow);
  for (const link of all(document, ".functions a")) {
    link.addEventListener("click",
      () => chooseFunction(link.hash.replace("#function-", "")));
  }
  if (!follow()) chooseFunction(String(Math.max(0, first) + 1));
})();
