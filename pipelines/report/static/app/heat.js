// The liquidation heatmap: price by day, realized and predicted layer, dense zones, close and volume. Dark in both themes.
"use strict";

(function () {
  const { state } = LH;
  const F = LH.format;
  const C = LH.chart;

  const REALIZED = ["notional_usd", "long_usd", "short_usd", "is_dense", "input_grain"];
  const PREDICTED = ["expected_usd", "side"];
  const CIRCLE_SHARE = 0.75;

  // Place of dollars on the printed scale, 0 to 1.
  function realizedAt(usd, scale) {
    return (Math.log1p(usd) - Math.log1p(scale.low)) / (Math.log1p(scale.high) - Math.log1p(scale.low));
  }
  const predictedAt = (usd, top) => Math.pow(usd / top, 0.7);
  const clip = (value) => Math.min(1, Math.max(0, value));

  // A day's total is drawn this high, so that the close over it leaves some of it to be seen; its true bin is thinner.
  const TOTAL_PX = 9;

  // The top of the year of the window's last day, else of the year before that has one, else of the first.
  function ofYear(byYear, day) {
    const years = Object.keys(byYear).sort();
    if (!years.length) return null;
    const before = years.filter((year) => year <= day.slice(0, 4));
    return byYear[before.length ? before[before.length - 1] : years[0]];
  }

  const heard = (word) => F.known(word) && word !== "none";

  // What the picture is made of, for the window of days: cells by day, colors, coverage, price axis.
  function model(env) {
    const { A, i0, i1 } = env;
    const layer = A.entry.levels ? state.layer : "realized";
    const cells = A.cells("heat", REALIZED);
    const exchange = A.column("liq", "exchange_completeness");
    const dex = A.column("liq", "perp_dex_completeness");
    const close = A.column("price", "close_usd");
    const levels = A.entry.levels ? A.cells("levels", PREDICTED) : null;
    const days = [];
    let low = Infinity;
    let high = -Infinity;
    const reach = (value) => {
      if (!F.known(value)) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    };
    for (let at = i0; at <= i1; at++) {
      // Levels of a day stand in the column of the next one: the first on which they could be used.
      const expected = levels && at > 0 ? levels[at - 1] : [];
      const day = {
        realized: cells[at], expected, close: close[at],
        covered: cells[at].length > 0 || heard(exchange[at]) || heard(dex[at]), predicted: expected.length > 0,
      };
      days.push(day);
      reach(close[at]);
      for (const cell of layer === "realized" ? day.realized : day.expected) { reach(cell.low); reach(cell.high); }
    }
    const zone = LH.zone.parse(state.zone);
    if (zone) { reach(zone[0]); reach(zone[1]); }
    if (layer !== "realized" && close.slice(i0, i1 + 1).some(F.known)) {
      const [lowest, highest] = C.extent([close.slice(i0, i1 + 1)]);
      low = Math.max(low, Math.min(lowest * 0.8, zone ? zone[0] : Infinity));
      high = Math.min(high, Math.max(highest * 1.2, zone ? zone[1] : -Infinity));
    }
    const last = env.days[env.n - 1];
    return { layer, days, low, high, zone, scale: A.entry.scale, top: ofYear(A.entry.tops, last) };
  }

  function priceScale(low, high, height) {
    if (high / low <= 3) {
      const scale = C.nice(low, high, Math.max(3, height / 70));
      const ticks = [];
      for (let at = Math.ceil(low / scale.interval - 1e-9) * scale.interval; at <= high * (1 + 1e-9); at += scale.interval) ticks.push(at);
      const pad = (high - low) * 0.02;
      return { to: (p) => p, from: (v) => v, min: low - pad, max: high + pad, ticks };
    }
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const times of [1, 1.5, 2, 3, 4, 5, 7]) {
        const value = times * Math.pow(10, power);
        if (value >= low && value <= high) ticks.push(value);
      }
    }
    const most = Math.max(3, Math.floor(height / 30));
    const kept = ticks.filter((_, at) => at % Math.ceil(ticks.length / most) === 0);
    const pad = Math.log(high / low) * 0.02;
    return { to: Math.log, from: Math.exp, min: Math.log(low) - pad, max: Math.log(high) + pad, ticks: kept };
  }

  function draw(env) {
    const { A, i0, i1, n, T } = env;
    const held = model(env);
    if (!(held.layer === "predicted" ? held.top : held.scale) || !Number.isFinite(held.low)) {
      return { areas: [], absent: "No liquidation of this asset has a price here: no feed that tells single liquidations is loaded.", rows };
    }
    const volumeRoom = env.phone ? 28 : 38;
    const main = C.areaOf(env, { bottom: 24 + volumeRoom + 6 });
    main.well = true;
    const volumeArea = { left: main.left, width: main.width, top: C.snap(main.top + main.height + 6), height: C.snap(volumeRoom) };
    const scale = priceScale(held.low, held.high, main.height);
    const unknown = held.days.map((day) => (held.layer === "predicted" ? !day.predicted : held.layer === "both" ? !day.predicted && !day.covered : !day.covered));
    main.unknown = null;
    const devY = (price) => (main.top + main.height * (1 - (scale.to(price) - scale.min) / (scale.max - scale.min))) * env.ratio;
    const edges = (cell) => {
      const y0 = Math.round(devY(cell.high));
      const y1 = Math.max(Math.round(devY(cell.low)), y0 + 1);
      const lacking = cell.input_grain === "daily_close" ? Math.round(TOTAL_PX * env.ratio) - (y1 - y0) : 0;
      return lacking > 0 ? [y0 - Math.floor(lacking / 2), y1 + Math.ceil(lacking / 2)] : [y0, y1];
    };
    const clipY = [Math.round(main.top * env.ratio), Math.round((main.top + main.height) * env.ratio)];
    const colorOf = {
      realized: (cell) => LH.theme.along(T.ramp, clip(realizedAt(cell.notional_usd, held.scale))),
      predicted: (cell) => LH.theme.along(T.ramp, clip(predictedAt(cell.expected_usd, held.top))),
    };
    const painted = held.layer === "realized" ? "realized" : "predicted";
    const shownCells = (day) => (painted === "realized" ? day.realized : day.expected).filter((cell) => F.known(painted === "realized" ? cell.notional_usd : cell.expected_usd));

    function paint(pen, marks) {
      pen.fillStyle = T.well;
      pen.fillRect(Math.round(main.left * env.ratio), clipY[0], Math.round(main.width * env.ratio), clipY[1] - clipY[0]);
      marks.unknownDays = LH.cells.hatchDays(pen, env, Object.assign({}, main, { unknown }));
      marks.cells = 0;
      held.days.forEach((day, at) => {
        const [x0, x1] = LH.cells.columnOf(env, main, at, n);
        for (const cell of shownCells(day)) {
          const [y0, y1] = edges(cell);
          if (y1 <= clipY[0] || y0 >= clipY[1]) continue;
          pen.fillStyle = LH.theme.css(colorOf[painted](cell));
          pen.fillRect(x0, Math.max(y0, clipY[0]), x1 - x0, Math.min(y1, clipY[1]) - Math.max(y0, clipY[0]));
          marks.cells++;
        }
      });
      marks.zones = 0;
      marks.circles = 0;
      if (state.overlays === "off") return;
      if (held.zone) band(pen);
      if (held.layer !== "predicted") held.days.forEach((day, at) => { marks.zones += outline(pen, day, LH.cells.columnOf(env, main, at, n)); });
      if (held.layer === "both") marks.circles = circles(pen);
    }

    function band(pen) {
      const [top, bottom] = [devY(held.zone[1]), devY(held.zone[0])].map(Math.round);
      pen.fillStyle = "rgba(255,255,255,0.13)";
      pen.fillRect(Math.round(main.left * env.ratio), top, Math.round(main.width * env.ratio), bottom - top);
      pen.strokeStyle = "#ffffff";
      pen.lineWidth = env.ratio;
      pen.setLineDash([5 * env.ratio, 4 * env.ratio]);
      pen.beginPath();
      for (const y of [top, bottom]) {
        pen.moveTo(Math.round(main.left * env.ratio), y + 0.5);
        pen.lineTo(Math.round((main.left + main.width) * env.ratio), y + 0.5);
      }
      pen.stroke();
      pen.setLineDash([]);
    }

    function outline(pen, day, [x0, x1]) {
      let zones = 0;
      let open = null;
      const close_ = () => {
        if (!open) return;
        zones++;
        for (const [color, wide] of [["#000000", 3], [T.dense, 1.5]]) {
          pen.strokeStyle = color;
          pen.lineWidth = wide * env.ratio;
          pen.strokeRect(x0, open.y0, x1 - x0, open.y1 - open.y0);
        }
        open = null;
      };
      for (const cell of day.realized) {
        if (cell.is_dense !== "1") continue;
        const [y0, y1] = edges(cell);
        if (open && open.no === cell.no - 1) Object.assign(open, { no: cell.no, y0 });
        else { close_(); open = { no: cell.no, y0, y1 }; }
      }
      close_();
      return zones;
    }

    function circles(pen) {
      const all = held.days.flatMap((day) => day.realized.map((cell) => cell.notional_usd)).filter(F.known).sort((a, b) => a - b);
      if (!all.length) return 0;
      const border = all[Math.floor((all.length - 1) * CIRCLE_SHARE)];
      const most = all[all.length - 1];
      let drawn = 0;
      held.days.forEach((day, at) => {
        const [x0, x1] = LH.cells.columnOf(env, main, at, n);
        for (const cell of day.realized) {
          if (!(cell.notional_usd > border)) continue;
          const y = (devY(cell.low) + devY(cell.high)) / 2;
          if (y < clipY[0] || y > clipY[1]) continue;
          pen.beginPath();
          pen.arc((x0 + x1) / 2, y, Math.max(2, 9 * Math.sqrt(cell.notional_usd / most)) * env.ratio, 0, 2 * Math.PI);
          pen.fillStyle = "rgba(255,255,255,0.18)";
          pen.fill();
          pen.strokeStyle = "#ffffff";
          pen.lineWidth = 1.2 * env.ratio;
          pen.stroke();
          drawn++;
        }
      });
      return drawn;
    }

    const closes = held.days.map((day) => (F.known(day.close) ? scale.to(day.close) : null));
    const volume = A.column("price", "volume_usd").slice(i0, i1 + 1);
    const volumeTop = C.extent([volume])[1];
    const overlays = state.overlays !== "off";
    const thin = held.days.some((day) => day.realized.some((cell) => cell.input_grain === "daily_close"));
    const option = {
      grid: [C.gridOf(main), C.gridOf(volumeArea)],
      xAxis: [
        C.dayAxis(env.days, main.width, { gridIndex: 0, axisLabel: { show: false }, axisLine: { show: false } }),
        C.dayAxis(env.days, main.width, { gridIndex: 1 }),
      ],
      yAxis: [
        C.valueAxis({ min: scale.min, max: scale.max, interval: scale.max - scale.min }, (value) => F.price(scale.from(value)), {
          splitLine: { show: false }, axisLabel: Object.assign(C.axisText(), { customValues: scale.ticks.map(scale.to), formatter: (value) => F.price(scale.from(value)), margin: 6 }),
        }),
        C.valueAxis({ min: 0, max: Number.isFinite(volumeTop) ? volumeTop * 1.05 : 1, interval: 1e300 }, () => "", { gridIndex: 1, splitLine: { show: false }, axisLabel: { show: false } }),
      ],
      series: [
        overlays ? C.line("halo", closes, "#000000", { lineStyle: { color: "#000000", width: thin ? 2.4 : 4 }, itemStyle: { color: "#000000" }, z: 3 }) : null,
        overlays ? C.line("close", closes, "#ffffff", { z: 4, lineStyle: { color: "#ffffff", width: thin ? 1.1 : 1.6 } }) : null,
        C.bars("volume", volume, T.both, { xAxisIndex: 1, yAxisIndex: 1, barCategoryGap: "12%" }),
      ].filter(Boolean),
    };

    // The bin of a layer that holds a price on a day of the window, and what it looks like.
    function find(at, price) {
      const day = held.days[at];
      if (!day) return null;
      const cell = shownCells(day).find((one) => price >= one.low && price < one.high) || null;
      return { cell, color: cell ? LH.theme.css(colorOf[painted](cell)) : unknown[at] ? "unknown" : T.well, value: cell ? cell.notional_usd ?? cell.expected_usd : unknown[at] ? null : 0 };
    }

    function pixel(at, price) {
      const cell = find(at, price).cell;
      const [x0, x1] = LH.cells.columnOf(env, main, at, n);
      const [y0, y1] = cell ? edges(cell) : [Math.round(devY(price)), Math.round(devY(price)) + 1];
      const data = env.chart.under.getContext("2d").getImageData(Math.floor((x0 + x1 - 1) / 2), Math.floor((y0 + y1 - 1) / 2), 1, 1).data;
      return LH.theme.css([data[0], data[1], data[2]]);
    }

    function tip(at, spot) {
      const day = held.days[at];
      const lines = [["close", F.known(day.close) ? F.price(day.close) : "unknown"]];
      const price = spot ? scale.from(scale.min + (scale.max - scale.min) * (1 - (spot.y - main.top) / main.height)) : day.close;
      const cell = F.known(price) ? day.realized.find((one) => price >= one.low && price < one.high) : null;
      const level = F.known(price) ? day.expected.find((one) => price >= one.low && price < one.high) : null;
      if (cell) lines.push(["bin", F.price(cell.low) + " to " + F.price(cell.high)], ["longs", F.known(cell.long_usd) ? F.usd(cell.long_usd) : "unknown", T.long], ["shorts", F.known(cell.short_usd) ? F.usd(cell.short_usd) : "unknown", T.short]);
      else lines.push(["liquidated here", day.covered ? "none" : "unknown: no feed heard"]);
      if (level) lines.push(["expected if reached", F.usd(level.expected_usd) + " " + level.side]);
      return { title: env.days[at], rows: lines };
    }

    return {
      areas: [main, volumeArea], option, paint, tip, rows, find, pixel, known: unknown.map((flag) => !flag),
      legend: legend(env, held), chips: chips(env, held), foot: [LH.zone.told(env, held.zone), ...foot(env, held)],
      source: held.layer === "realized" ? null : ["liquidation_levels_daily, liquidation_heatmap_daily, fct_price_daily", "US dollars expected if price reaches the bin the next day"],
      strip: A.column("heard", "heard_oi_share").slice(i0, i1 + 1).map((share, at) => (!held.days[at].covered ? "unknown" : F.known(share) && share >= 0.995 ? "complete" : "partial")),
      summary: summary(env, held),
      dragged: (from, to) => {
        const prices = [from.y, to.y].map((y) => scale.from(scale.min + (scale.max - scale.min) * (1 - (y - main.top) / main.height))).sort((a, b) => a - b);
        LH.zone.set(prices);
      },
    };
  }

  function legend(env, held) {
    const { A, T } = env;
    const L = LH.card.legend;
    const out = [];
    if (held.layer === "realized") out.push(LH.card.ramp(T.ramp, F.usd(held.scale.low) + " or less", F.usd(held.scale.high) + " and more liquidated (log, 10th to 95th percentile of the newest year)"));
    else out.push(LH.card.ramp(T.ramp, "expected $0", F.usd(held.top) + " and more (power 0.7, 0 to 99th percentile)", true));
    out.push(L("fill", T.well, "none (covered)"), L("hatch", "heat", held.layer === "predicted" ? "unknown: no level" : "unknown: no feed"), L("halo", null, "close"));
    if (held.layer !== "predicted") out.push(L("dense", null, "dense zone"));
    if (held.layer === "both") out.push(L("ring", T.ink2, "realized, largest quarter (area by dollars)"));
    return out;
  }

  function chips(env, held) {
    if (held.layer === "realized") return [LH.el("span", { class: "chip" }, "REALIZED")];
    const skill = LH.market.skill.filter((row) => row.asset === env.A.name || row.asset === "*").map((row) => row.side + ": " + F.words(row.verdict));
    return [LH.el("span", { class: "chip model" }, "PREDICTED · MODEL"), skill.length ? LH.el("span", { class: "chip quiet" }, "skill " + [...new Set(skill)].join(", ")) : null];
  }

  function feeds(env) {
    const { A, i1 } = env;
    const heardNow = A.keys("feeds").filter((venue) => A.column("feeds", "venue_kind", venue)[i1] !== "lending" && F.known(A.column("feeds", "completeness", venue)[i1]) && A.column("feeds", "completeness", venue)[i1] !== "none");
    const known = A.keys("oi").filter((venue) => F.known(A.column("oi", "oi_usd", venue)[i1]));
    const deaf = known.filter((venue) => !heardNow.includes(venue));
    const share = A.column("heard", "heard_oi_share")[i1];
    const text = heardNow.map((venue) => venue + " (" + F.words(A.column("feeds", "completeness", venue)[i1]) + ")");
    return (text.length ? "Feeds heard on the last day: " + F.list(text) : "No liquidation feed heard on the last day")
      + (F.known(share) ? ", " + F.percent(share, 0) + " of the known open interest" : "")
      + (deaf.length ? ". Not heard: " + F.list(deaf) : "") + ".";
  }

  function foot(env, held) {
    const bins = held.days.flatMap((day) => day.realized);
    const judged = bins.filter((cell) => cell.is_dense === "0" || cell.is_dense === "1");
    const dense = judged.filter((cell) => cell.is_dense === "1").length;
    const window_ = LH.market.thresholds.heatmap_window_days;
    const lines = [];
    const totals = held.days.filter((day) => day.realized.some((cell) => cell.input_grain === "daily_close")).length;
    if (totals) lines.push(`On ${totals} days only a total is known: it lies in the bin of the day's close and is drawn ${TOTAL_PX} pixels high.`);
    if (held.layer !== "realized") lines.push("Levels of a day are drawn in the column of the next one, the first on which they could be used. A model's output, not a forecast that price goes there.");
    else if (!env.A.entry.levels) lines.push("Predicted layer: not available, the published file holds no expected dollars of this asset (no levels, or too few days to fit them).");
    lines.push((judged.length ? `Dense bins: ${dense} of ${judged.length} judged` : "No bin is judged dense or not yet") + (bins.length > judged.length ? `; ${bins.length - judged.length} not judged (window of ${window_ || 90} days not full)` : "") + ". " + feeds(env));
    return lines;
  }

  function summary(env, held) {
    const covered = held.days.filter((day) => day.covered).length;
    const total = held.days.reduce((sum, day) => sum + day.realized.reduce((part, cell) => part + (cell.notional_usd || 0), 0), 0);
    return `${env.days[0]} to ${env.days[env.n - 1]}, ${F.usd(total)} liquidated on ${covered} covered days, ${env.n - covered} days unknown.`;
  }

  function rows() {
    const { A, i0, i1 } = LH.frame();
    const columns = [["trade_date", "day"], ["bin_no", "count"], ["price_low_usd", "price"], ["price_high_usd", "price"], ["notional_usd", "usd"], ["long_usd", "usd"], ["short_usd", "usd"], ["is_dense", "word"]];
    const cells = A.cells("heat", REALIZED);
    const out = [];
    for (let at = i1; at >= i0; at--) {
      for (const cell of cells[at]) out.push([A.days[at], cell.no, cell.low, cell.high, cell.notional_usd, cell.long_usd, cell.short_usd, F.known(cell.is_dense) ? String(cell.is_dense === "1") : null]);
    }
    return { columns, rows: out };
  }

  LH.view("heat", { draw, tall: true });
  LH.heat = { feeds, realizedAt };
})();
