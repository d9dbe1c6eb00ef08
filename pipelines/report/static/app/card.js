// A card's parts around its plot: legend, table twin, SQL, CSV. Knows no chart.
"use strict";

(function () {
  const { el, svg, clear } = LH;
  const F = LH.format;

  function swatch(kind, color) {
    const box = svg("svg", { width: 14, height: 10, "aria-hidden": "true" });
    if (kind === "line") box.append(svg("line", { x1: 0, x2: 14, y1: 5, y2: 5, stroke: color, "stroke-width": 2 }));
    else if (kind === "dash") box.append(svg("line", { x1: 0, x2: 14, y1: 5, y2: 5, stroke: color, "stroke-width": 2, "stroke-dasharray": "4 2" }));
    else if (kind === "box") box.append(svg("rect", { x: 1, y: 1, width: 12, height: 8, fill: "none", stroke: color, "stroke-width": 1.5 }));
    else if (kind === "ring") box.append(svg("circle", { cx: 7, cy: 5, r: 4, fill: "none", stroke: color, "stroke-width": 1.4 }));
    else if (kind === "whisker") box.append(svg("path", { d: "M7 10V1M4 1.5h6", stroke: color, "stroke-width": 1.2, fill: "none" }));
    else if (kind === "arrow") box.append(svg("path", { d: "M7 0l3.5 5h-7z", fill: color }));
    else if (kind === "up") box.append(svg("path", { d: "M7 1l4 7h-8z", fill: color }));
    else if (kind === "down") box.append(svg("path", { d: "M7 9l4-7h-8z", fill: color }));
    else if (kind === "halo") {
      box.append(svg("rect", { x: 0, y: 1, width: 14, height: 8, fill: "#0f0a1c" }), svg("line", { x1: 0, x2: 14, y1: 5, y2: 5, stroke: "#fff", "stroke-width": 2 }));
    } else if (kind === "dense") {
      box.append(svg("rect", { x: 0, y: 0, width: 14, height: 10, fill: "#0f0a1c" }), svg("rect", { x: 2, y: 2, width: 10, height: 6, fill: "none", stroke: "#7df9ff", "stroke-width": 1.5 }));
    } else if (kind === "hatch") return el("span", { class: "hatch " + (color || ""), "aria-hidden": "true" });
    else box.append(svg("rect", { x: 0.5, y: 0.5, width: 13, height: 9, rx: 2, fill: color, stroke: color === LH.T.well ? LH.T.line : color }));
    return box;
  }

  const legend = (kind, color, text) => el("span", null, swatch(kind, color), text);

  function ramp(stops, low, high, model) {
    const canvas = el("canvas", { class: "ramp" + (model ? " model" : ""), width: 180, height: 10, "aria-hidden": "true" });
    const pen = canvas.getContext("2d");
    for (let x = 0; x < 180; x++) {
      pen.fillStyle = LH.theme.css(LH.theme.along(stops, x / 179));
      pen.fillRect(x, 0, 1, 10);
    }
    return el("span", null, low, canvas, high);
  }

  function shownRows(id) {
    const chart = LH.charts.get(id);
    return chart && chart.result ? chart.result.rows() : { columns: [], rows: [] };
  }

  const TABLE_ROWS = 1000;

  function fillTable(id) {
    const { columns, rows } = shownRows(id);
    const card = document.getElementById(id);
    const shown = rows.slice(0, TABLE_ROWS);
    const more = rows.length > TABLE_ROWS ? ` The newest ${TABLE_ROWS} of ${rows.length} rows; CSV has all.` : "";
    const textual = new Set(["word", "text", "key", "day"]);
    const table = el("table", null,
      el("caption", null, card.querySelector("h2").textContent + ", " + card.querySelector(".unit").textContent + "." + more),
      el("thead", null, el("tr", null, columns.map(([name, kind]) => el("th", { scope: "col", class: textual.has(kind) ? "l" : null }, name)))),
      el("tbody", null, shown.map((row) => el("tr", null, row.map((value, at) => el("td", { class: textual.has(columns[at][1]) ? "l" : null }, F.known(value) ? String(value) : "unknown"))))),
    );
    clear(document.getElementById(id + "-table"), table);
  }

  // Spreadsheets run a cell that begins with one of these.
  const FORMULA = /^[=+\-@\t\r]/;

  function csv(id) {
    const { columns, rows } = shownRows(id);
    const cell = (value) => {
      if (!F.known(value)) return "";
      if (typeof value === "number") return String(value);
      const text = FORMULA.test(value) ? "'" + value : String(value);
      return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    };
    return [columns.map(([name]) => name), ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  }

  function sql(id) {
    const view = LH.market.views[id];
    const literal = "'" + LH.state.a.replaceAll("'", "''") + "'";
    return view.sql.replaceAll(LH.market.slot, literal) + ";\n";
  }

  function say(text) {
    document.getElementById("live").textContent = text;
  }

  // Copying needs a click; where the browser refuses, the text is shown to be copied by hand.
  function copy(text, button) {
    const done = () => {
      const label = button.textContent;
      button.textContent = "Copied";
      say("Query copied");
      setTimeout(() => { button.textContent = label; }, 1200);
    };
    const byHand = () => {
      const area = el("textarea", { readonly: true, "aria-label": "Query" });
      area.value = text;
      const box = el("div", { class: "dialog", role: "dialog", "aria-label": "Query" }, area,
        el("button", { type: "button", click: () => box.remove() }, "Close"));
      document.body.append(box);
      area.select();
      if (document.execCommand("copy")) {
        box.remove();
        done();
      } else area.focus();
    };
    if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).then(done, byHand);
    else byHand();
  }

  function download(id) {
    const link = el("a", { download: [LH.state.a, id, LH.market.last].filter(Boolean).join("-").replace(/[^A-Za-z0-9.-]+/g, "_") + ".csv" });
    link.href = URL.createObjectURL(new Blob([csv(id)], { type: "text/csv" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function wire(card) {
    const id = card.dataset.view;
    card.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-do]");
      if (!button) return;
      if (button.dataset.do === "sql") copy(sql(id), button);
      else if (button.dataset.do === "csv") download(id);
      else {
        const twin = document.getElementById(id + "-table");
        twin.hidden = !twin.hidden;
        button.setAttribute("aria-expanded", String(!twin.hidden));
        if (!twin.hidden) fillTable(id);
      }
    });
    if (LH.market.views[id].missing.length) for (const button of card.querySelectorAll("button")) button.disabled = true;
  }

  // Rows of a view whose columns are daily ones of the asset: newest first, only those with some number.
  function dailyRows(view, asset, from, to) {
    const columns = [["trade_date", "day"]];
    if (view.key) columns.push([view.key, "key"]);
    for (const [name, , kind] of view.columns) columns.push([name, kind]);
    const sources = view.columns.map(([, source]) => source.split("."));
    const keyed = view.key ? sources.find(([dataset]) => asset.parts.some((part) => part.d[dataset] && part.d[dataset].k)) : null;
    const keys = view.key ? (keyed ? asset.keys(keyed[0]) : []) : [undefined];
    const alone = view.keyless ? sources.map(([dataset, name]) => asset.column(dataset, name)) : null;
    const held = keys.map((key) => sources.map(([dataset, name]) => {
      const isKeyed = asset.parts.some((part) => part.d[dataset] && part.d[dataset].k);
      return { own: !view.key || isKeyed, values: asset.column(dataset, name, isKeyed ? key : undefined) };
    }));
    const rows = [];
    for (let at = to; at >= from; at--) {
      let told = false;
      keys.forEach((key, k) => {
        if (!held[k].some(({ own, values }) => own && F.known(values[at]))) return;
        told = true;
        const row = [asset.days[at]];
        if (view.key) row.push(key);
        rows.push(row.concat(held[k].map(({ values }) => values[at])));
      });
      if (alone && !told && alone.some((values) => F.known(values[at]))) rows.push([asset.days[at], null, ...alone.map((values) => values[at])]);
    }
    return { columns, rows };
  }

  LH.card = { legend, swatch, ramp, fillTable, csv, sql, say, wire, dailyRows };
})();
