"use strict";
// Draws the page's charts from the data beside them, and shows what is chosen. All texts are put in as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const shades = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map(); // each chart's element and the figure that it shows
  const touched = matchMedia("(hover: none)").matches;
  let printing = false;

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function dressed(figure) {
    const axis = { gridcolor: style("--line"), linecolor: style("--line"), zerolinecolor: style("--line"), automargin: true };
    const layout = structuredClone(figure.layout);
    layout.font = { color: style("--text"), family: 'system-ui, "DejaVu Sans", sans-serif', size: 13 };
    layout.hoverlabel = { bgcolor: style("--card"), bordercolor: style("--line"), font: { color: style("--text") } };
    layout.xaxis = { ...layout.xaxis, ...axis };
    layout.yaxis = { ...layout.yaxis, ...axis };
    if (touched) layout.dragmode = false; // a finger scrolls the page; no button would undo what it zoomed into
    if (printing) layout.width = 640;
    return layout;
  }

  function draw(element, figure) {
    drawn.set(element, figure);
    // without a pointer that hovers, the bar of buttons would never go away: it lies on the legend
    const displayModeBar = touched ? false : "hover";
    const settings = { responsive: true, displaylogo: false, displayModeBar, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
    Plotly.react(element, structuredClone(figure.data), dressed(figure), settings);
  }

  const redraw = () => drawn.forEach((figure, element) => draw(element, figure));

  function choices(group, element, figures, selected) {
    for (const button of group.querySelectorAll("button")) {
      button.addEventListener("click", () => {
        for (const other of group.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
        draw(element, figures[button.value]);
        selected();
      });
    }
  }

  function cell(row, text, left) {
    const made = row.insertCell();
    made.textContent = text;
    if (left) made.className = "left";
    return made;
  }

  function explain(section, run, number) {
    const student = run.students[number];
    const panel = section.querySelector(".detail");
    const sizes = [`${student.parameters.toLocaleString("en")} parameters`, `${student.macs.toLocaleString("en")} MACs`];
    if (student.latency !== null) sizes.push(`${student.latency.toPrecision(3)} ms`);
    const title = document.createElement("h3");
    title.textContent = `Student ${student.id}`;
    const facts = document.createElement("p");
    facts.textContent =
      `accuracy ${(100 * student.accuracy).toFixed(2)}% on validation images after the search's short training, ` +
      `reward ${student.reward.toFixed(4)}; ${sizes.join(", ")}; stage ${student.stage}, update ${student.update}` +
      (student.excess > 0 ? `; exceeds a limit by ${(100 * student.excess).toFixed(0)}%` : "");
    const actions = document.createElement("p");
    const code = document.createElement("code");
    code.textContent = student.actions;
    code.style.overflowWrap = "anywhere";
    actions.append(`actions of stage ${student.stage}, a digit for each decision: `, code);
    panel.replaceChildren(title, facts, actions);
    if (student.layers) {
      const table = document.createElement("table");
      const head = table.createTHead().insertRow();
      for (const word of ["layer", "in the teacher", "decided", "in the student"]) {
        const made = document.createElement("th");
        made.textContent = word;
        made.className = "left";
        head.append(made);
      }
      const body = table.createTBody();
      student.layers.forEach((text, index) => {
        const row = body.insertRow();
        const left = run.texts[text];
        if (!left) row.className = "gone";
        cell(row, run.layers[index], true);
        cell(row, run.teacher[index], true);
        cell(row, run.texts[student.decided[index]], true);
        cell(row, left || "not there", true);
      });
      const wide = document.createElement("div");
      wide.className = "wide";
      wide.append(table);
      panel.append(wide);
    } else {
      const missing = document.createElement("p");
      missing.textContent = "What its actions mean is not known: the run's folder lacks the network that they change.";
      panel.append(missing);
    }
    panel.hidden = false;
    for (const row of section.querySelectorAll("tr[data-student]")) {
      row.classList.toggle("chosen", Number(row.dataset.student) === number);
    }
    panel.scrollIntoView({ block: "nearest" });
  }

  function show(section, run) {
    const pareto = section.querySelector(".pareto");
    if (pareto) {
      const listen = () => {
        pareto.removeAllListeners("plotly_click");
        pareto.on("plotly_click", (event) => {
          const point = event.points.find((each) => each.customdata !== undefined);
          if (point) explain(section, run, point.customdata);
        });
      };
      draw(pareto, Object.values(run.pareto)[0]);
      listen();
      choices(section.querySelector(".choice"), pareto, run.pareto, listen);
    }
    for (const element of section.querySelectorAll(".curves")) draw(element, run.curves[element.dataset.stage]);
    for (const row of section.querySelectorAll("tr[data-student]")) {
      const open = () => explain(section, run, Number(row.dataset.student));
      row.addEventListener("click", open);
      row.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          open();
        }
      });
    }
  }

  const all = document.querySelector(".fronts");
  if (all) {
    draw(all, Object.values(data.fronts)[0]);
    choices(document.querySelector(".choice"), all, data.fronts, () => {});
  }
  document.querySelectorAll("[data-run]").forEach((section) => {
    const run = data.runs[Number(section.dataset.run)];
    if (section.tagName !== "DETAILS" || section.open) return show(section, run);
    // a chart has no width before it is seen
    section.addEventListener("toggle", () => show(section, run), { once: true });
  });
  shades.addEventListener("change", redraw);
  for (const [event, value] of [["beforeprint", true], ["afterprint", false]]) {
    addEventListener(event, () => {
      printing = value;
      redraw();
    });
  }
})();
