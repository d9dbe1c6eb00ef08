// What a test or a notebook may ask of the page: what is drawn, from which mart, with which numbers and colors.
"use strict";

(function () {
  const chart = (id) => {
    const found = LH.charts.get(id);
    if (!found) throw new Error("no chart " + id);
    return found;
  };

  // Counted where it was drawn: painted marks while painting, the library's from the library's own model.
  function marks(id) {
    const one = chart(id);
    const out = Object.assign({}, one.marks);
    if (!one.ec) return out;
    out.series = {};
    one.ec.getModel().eachSeries((series) => {
      const held = series.getData();
      let count = 0;
      for (let at = 0; at < held.count(); at++) if (held.hasValue(at)) count++;
      out.series[series.option.id] = count;
    });
    return out;
  }

  function meta(id) {
    const view = LH.market.views[id];
    return { title: view.title, mart: view.marts, unit: view.unit, sql: LH.card.sql(id), missing: view.missing, freshness: LH.market.published_at, last: LH.market.last, coverage: chart(id).known || null, label: chart(id).plot.getAttribute("aria-label") };
  }

  function at(id, day, price) {
    const one = chart(id);
    const place = LH.frame().days.indexOf(day);
    const found = one.result.find(place, price);
    return { bin: found.cell ? found.cell.no : null, value: found.value, color: found.color, pixel: one.result.pixel(place, price) };
  }

  LH.api = {
    charts: () => [...LH.charts.keys()],
    marks, meta, at,
    table: (id) => {
      const { columns, rows } = chart(id).result.rows();
      return { columns: columns.map(([name]) => name), rows };
    },
    csv: (id) => LH.card.csv(id),
    series: (id) => Object.entries(marks(id).series || {}).map(([name, known]) => ({ name, known })),
    window: () => { const { days, n } = LH.frame(); return { from: days[0], to: days[n - 1], n }; },
    set: (change) => LH.set(change),
    drawAll: () => LH.drawAll(),
    errors: () => LH.errors.slice(),
    state: () => Object.assign({}, LH.state),
  };
})();
