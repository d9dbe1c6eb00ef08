// What is painted cell by cell: hatched days, maps of rows by day. All edges lie on whole device pixels.
"use strict";

(function () {
  const { runsOf } = LH.data;

  // Left and right device pixel of day `at` of n in an area.
  function columnOf(env, area, at, n) {
    const width = area.width * env.ratio / n;
    const left = area.left * env.ratio + at * width;
    return [Math.round(left), Math.max(Math.round(left + width), Math.round(left) + 1)];
  }

  function hatchDays(pen, env, area) {
    const n = area.unknown.length;
    const runs = runsOf(area.unknown);
    const pattern = pen.createPattern(LH.theme.hatch(area.well ? "heat" : "", env.ratio), "repeat");
    pen.fillStyle = pattern;
    for (const [from, to] of runs) {
      const left = columnOf(env, area, from, n)[0];
      const right = columnOf(env, area, to, n)[1];
      pen.fillRect(left, Math.round(area.top * env.ratio), right - left, Math.round(area.height * env.ratio));
    }
    return area.unknown.reduce((sum, flag) => sum + (flag ? 1 : 0), 0);
  }

  // A map of rows by day. `color(row, day)` gives a color, null for unknown, or {color, part: "lower"|"cross"} for shapes;
  // `outlined(row, day)` marks days that are framed as runs.
  function paintMap(pen, env, area, rows, n, color, outlined, marks) {
    const gap = rows > 24 ? 1 : 2;
    const tall = area.height * env.ratio / rows;
    const hatch = pen.createPattern(LH.theme.hatch("", env.ratio), "repeat");
    marks.cells = 0;
    marks.unknownDays = 0;
    marks.outlines = 0;
    for (let row = 0; row < rows; row++) {
      const top = Math.round(area.top * env.ratio + row * tall);
      const bottom = Math.max(top + 1, Math.round(area.top * env.ratio + (row + 1) * tall) - Math.round(gap * env.ratio));
      let from = 0;
      let held = color(row, 0);
      for (let at = 1; at <= n; at++) {
        const next = at < n ? color(row, at) : undefined;
        if (at < n && same(next, held)) continue;
        const left = columnOf(env, area, from, n)[0];
        const right = columnOf(env, area, at - 1, n)[1];
        fill(pen, env, held, left, right, top, bottom, hatch);
        if (held === null) marks.unknownDays += at - from;
        else marks.cells += at - from;
        from = at;
        held = next;
      }
      if (!outlined) continue;
      const flags = Array.from({ length: n }, (_, at) => outlined(row, at));
      for (const [a, b] of runsOf(flags)) {
        marks.outlines++;
        const left = columnOf(env, area, a, n)[0];
        const right = columnOf(env, area, b, n)[1];
        pen.strokeStyle = LH.T.ink;
        pen.lineWidth = Math.max(1, Math.round(1.2 * env.ratio));
        pen.strokeRect(left + 0.5, top + 0.5, right - left - 1, bottom - top - 1);
      }
    }
  }

  const same = (a, b) => a === b || (a && b && typeof a === "object" && typeof b === "object" && a.color === b.color && a.part === b.part);

  // Partial fills the lower half, missing carries a cross: the states differ in shape, too.
  function fill(pen, env, held, left, right, top, bottom, hatch) {
    if (held === undefined) return;
    if (held === null) {
      pen.fillStyle = hatch;
      pen.fillRect(left, top, right - left, bottom - top);
      return;
    }
    const color = typeof held === "string" ? held : held.color;
    pen.fillStyle = color;
    if (held.part === "lower") {
      pen.fillStyle = LH.T.complete;
      pen.fillRect(left, top, right - left, bottom - top);
      pen.fillStyle = color;
      const middle = Math.round((top + bottom) / 2);
      pen.fillRect(left, middle, right - left, bottom - middle);
      return;
    }
    pen.fillRect(left, top, right - left, bottom - top);
    if (held.part === "cross") {
      const middle = (left + right) / 2;
      const half = Math.min((right - left) / 2 - 1, (bottom - top) / 2 - 1, 5 * env.ratio);
      if (half < 1.5) return;
      pen.strokeStyle = LH.T.surface;
      pen.lineWidth = 1.3 * env.ratio;
      pen.beginPath();
      pen.moveTo(middle - half, (top + bottom) / 2 - half);
      pen.lineTo(middle + half, (top + bottom) / 2 + half);
      pen.moveTo(middle - half, (top + bottom) / 2 + half);
      pen.lineTo(middle + half, (top + bottom) / 2 - half);
      pen.stroke();
    }
  }

  // Axes of a map: names of the rows on the left, days below.
  function mapAxes(area, names, days, size) {
    const room = area.left - 10;
    return {
      grid: LH.chart.gridOf(area),
      xAxis: LH.chart.dayAxis(days, area.width, { axisLine: { show: false } }),
      yAxis: {
        type: "category", inverse: true, data: names, axisLine: { show: false }, axisTick: { show: false },
        axisLabel: Object.assign(LH.chart.axisText(size || 10), { interval: 0, width: room, overflow: "truncate", ellipsis: "…", margin: 6 }),
      },
      series: [],
    };
  }

  LH.cells = { columnOf, hatchDays, paintMap, mapAxes };
})();
