// What was known then: the published versions of a mart, as they stood after a publication, beside what stands now.
"use strict";

(function () {
  const { el, clear, state } = LH;
  const F = LH.format;

  const inForce = (row, stamp) => row[2] <= stamp && (row[3] === null || row[3] > stamp);

  function chosen() {
    const all = LH.market.publications;
    return all.includes(state.pub) ? state.pub : all[all.length - 1] || null;
  }

  // Days that were published by then, newest first.
  function knownDays(stamp) {
    const days = new Set();
    for (const mart of Object.values(LH.history || {})) for (const row of mart.rows) if (inForce(row, stamp)) days.add(row[0]);
    return [...days].sort().reverse();
  }

  function fillPickers() {
    const publication = document.getElementById("publication");
    const day = document.getElementById("known-day");
    const note = document.getElementById("asof-note");
    const all = LH.market.publications;
    publication.disabled = day.disabled = !all.length || !LH.history;
    note.textContent = !all.length ? "Not available: this published file keeps no vintages (schema history). The pages show what stands now."
      : !LH.history ? `Not available: no vintage of ${state.a} is kept.` : "Values as they were published then. What came later says so; what changed since is marked.";
    clear(publication, [...all].reverse().map((stamp) => el("option", { value: stamp }, stamp.replace("T", " "))));
    const stamp = chosen();
    if (!stamp || !LH.history) {
      clear(day);
      return;
    }
    publication.value = stamp;
    const days = knownDays(stamp);
    if (!days.includes(state.day)) state.day = days[0] || "";
    clear(day, days.map((one) => el("option", { value: one }, one)));
    day.value = state.day;
  }

  function compared() {
    const stamp = chosen();
    const out = [];
    if (!stamp || !LH.history) return out;
    for (const [mart, held] of Object.entries(LH.history)) {
      const rows = held.rows.filter((row) => row[0] === state.day);
      for (const key of [...new Set(rows.map((row) => row[1]))].sort()) {
        const versions = rows.filter((row) => row[1] === key);
        const then = versions.find((row) => inForce(row, stamp)) || null;
        const now = versions.find((row) => row[3] === null) || null;
        held.columns.forEach((column, at) => {
          const was = then ? then[4 + at] : undefined;
          const is = now ? now[4 + at] : undefined;
          if (was === undefined && is === undefined) return;
          out.push({ mart, key, column, then: was, now: is, changed: JSON.stringify(was === undefined ? null : was) !== JSON.stringify(is === undefined ? null : is) || !then !== !now, since: now && (!then || now !== then) ? now[2] : null });
        });
      }
    }
    return out;
  }

  function draw(env) {
    fillPickers();
    if (!LH.market.publications.length || !LH.history) return { html: el("p", { class: "source" }, document.getElementById("asof-note").textContent), rows: () => ({ columns: [], rows: [] }) };
    const rows = compared();
    const changed = rows.filter((row) => row.changed);
    Object.assign(env.chart.marks, { rows: rows.length, changed: changed.length });
    const show = (value) => (value === undefined ? el("span", { class: "unknown" }, "not known then") : F.known(value) ? String(value) : F.unknown());
    const html = el("div", { class: "scroll" }, el("table", null,
      el("thead", null, el("tr", null, ["mart", "signal", "column", "then", "now", "changed"].map((name) => el("th", { scope: "col", class: "l" }, name)))),
      el("tbody", null, rows.map((row) => el("tr", { class: row.changed ? "changed" : null },
        el("td", { class: "l" }, row.mart), el("td", { class: "l" }, row.key), el("td", { class: "l" }, row.column), el("td", { class: "l" }, show(row.then)),
        el("td", { class: "l" }, row.now === undefined ? el("span", { class: "unknown" }, "withdrawn") : show(row.now)), el("td", { class: "l" }, row.changed ? "yes" + (row.since ? ", " + row.since.replace("T", " ") : "") : ""))))));
    return {
      html,
      foot: [`${state.a}, ${state.day}, as published on ${chosen().replace("T", " ")}: ${rows.length} values, ${changed.length} changed since.`],
      rows: () => ({ columns: ["mart", "signal", "column", "then", "now"].map((name) => [name, "text"]), rows: rows.map((row) => [row.mart, row.key, row.column, row.then === undefined ? "not known then" : row.then, row.now]) }),
    };
  }

  LH.asof = {
    async load() {
      const entry = LH.entry();
      LH.history = entry && entry.history ? await LH.load(entry.slug + "-history") : null;
      fillPickers();
    },
    wire() {
      document.getElementById("publication").addEventListener("change", (event) => { state.pub = event.target.value; LH.changed(["then"]); });
      document.getElementById("known-day").addEventListener("change", (event) => { state.day = event.target.value; LH.changed(["then"]); });
    },
    chosen, compared,
  };
  LH.view("then", { draw, free: true });
})();
