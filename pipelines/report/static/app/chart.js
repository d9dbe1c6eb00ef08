// Plots: one ECharts instance over one canvas of our own, the shared window of days, cursor, tooltip, zoom and keys.
"use strict";

(function () {
  const { el, clear, state } = LH;
  const F = LH.format;
  const FONT = getComputedStyle(document.body).fontFamily;
  const phone = () => window.innerWidth <= 760;
  const ratio = () => window.devicePixelRatio || 1;
  // On a whole device pixel, so that what is painted below lines up with what the library draws above.
  const snap = (value) => Math.round(value * ratio()) / ratio();

  // Nice ends and step of a value axis that holds low and high.
  function nice(low, high, wanted) {
    if (!(high > low)) {
      const pad = Math.abs(high) * 0.1 || 1;
      low -= low === 0 ? 0 : pad;
      high += pad;
    }
    const raw = (high - low) / (wanted || 4);
    const power = Math.pow(10, Math.floor(Math.log10(raw)));
    const step = [1, 2, 2.5, 5, 10].map((times) => times * power).find((one) => one >= raw * 0.999);
    const tidy = (value) => Number(value.toPrecision(12));
    return { min: tidy(Math.floor(low / step + 1e-9) * step), max: tidy(Math.ceil(high / step - 1e-9) * step), interval: tidy(step) };
  }

  // Half of a symmetric axis, or a whole one from 0: its end and two steps to it.
  function half(reach) {
    const power = Math.pow(10, Math.floor(Math.log10(reach)));
    const max = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((times) => times * power).find((one) => one >= reach * 0.999);
    const tidy = (value) => Number(value.toPrecision(12));
    return { min: 0, max: tidy(max), interval: tidy(max / 2) };
  }

  function extent(columns) {
    let low = Infinity;
    let high = -Infinity;
    for (const column of columns) for (const value of column) {
      if (!F.known(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return [low, high];
  }

  // Days that get a label: weeks, halves of months, months, quarters or years, thinned until they cannot touch.
  function ticks(days, width) {
    const rule = days.length <= 45 ? (day) => [1, 8, 15, 22].includes(+day.slice(8))
      : days.length <= 130 ? (day) => day.endsWith("-01") || day.endsWith("-15")
        : days.length <= 420 ? (day) => day.endsWith("-01")
          : days.length <= 1500 ? (day) => /-(01|04|07|10)-01$/.test(day) : (day) => day.endsWith("-01-01");
    let found = days.map((day, at) => (rule(day) ? at : -1)).filter((at) => at >= 0);
    if (!found.length && days.length) found = [Math.floor(days.length / 2)];
    const out = new Map();
    let free = -Infinity;
    let year = "";
    for (const at of found) {
      const x = (at + 0.5) * width / days.length;
      const long = days[at].slice(0, 4) !== year;
      const half = long ? 33 : 17;
      if (x - half < free + 8 || x - half < -34 || x + half > width + 14) continue;
      out.set(at, long ? days[at] : days[at].slice(5));
      year = days[at].slice(0, 4);
      free = x + half;
    }
    return out;
  }

  const axisText = (size) => ({ color: LH.T.ink2, fontSize: size || 10, fontFamily: FONT });

  function dayAxis(days, width, more, margin) {
    const labels = ticks(days, width);
    return Object.assign({
      type: "category", data: days, boundaryGap: true, axisTick: { show: false }, axisLine: { show: true, onZero: false, lineStyle: { color: LH.T.line } },
      axisLabel: Object.assign(axisText(), { interval: (at) => labels.has(at), formatter: (day, at) => labels.get(at) || "", margin: margin || 9, hideOverlap: false }),
    }, more);
  }

  function valueAxis(scale, format, more) {
    return Object.assign({
      type: "value", min: scale.min, max: scale.max, interval: scale.interval, axisLine: { show: false }, axisTick: { show: false },
      splitLine: { lineStyle: { color: LH.T.grid } }, axisLabel: Object.assign(axisText(), { formatter: format, margin: 6 }),
    }, more);
  }

  // A line; a day whose neighbors are unknown is a point, or it could not be seen.
  function line(id, values, color, more) {
    const data = values.map((value, at) => {
      if (!F.known(value)) return null;
      const alone = !F.known(values[at - 1]) && !F.known(values[at + 1]);
      return alone ? { value, symbol: "circle", symbolSize: 4 } : value;
    });
    return Object.assign({
      type: "line", id, data, symbol: "none", showAllSymbol: true, connectNulls: false, smooth: false, silent: true, animation: false,
      lineStyle: { color, width: 1.6 }, itemStyle: { color },
    }, more);
  }

  function bars(id, values, color, more) {
    return Object.assign({
      type: "bar", id, data: values.map((value) => (F.known(value) ? value : null)), itemStyle: { color }, silent: true, animation: false,
      barCategoryGap: "18%", barMinWidth: 1, large: false, progressive: 0,
    }, more);
  }

  function gridOf(area) {
    return { left: area.left, top: area.top, width: area.width, height: area.height, outerBoundsMode: "none" };
  }

  // Area of a plot of w x h; `right` is wide where there is an axis on that side.
  function areaOf(env, more) {
    const place = Object.assign({ left: 62, right: 14, top: 8, bottom: 24 }, more);
    const left = snap(place.left);
    const top = snap(place.top);
    return { left, top, width: snap(env.w - place.right) - left, height: snap(env.h - place.bottom) - top };
  }

  function chrome(option) {
    return Object.assign({ animation: false, backgroundColor: "transparent", textStyle: { fontFamily: FONT }, tooltip: { show: false } }, option);
  }

  class Chart {
    constructor(id, definition) {
      this.id = id;
      this.definition = definition;
      this.card = document.getElementById(id);
      this.plot = this.card.querySelector(".plot");
      this.marks = {};
    }

    get missing() {
      return LH.market.views[this.id].missing.length > 0;
    }

    env() {
      const w = this.plot.clientWidth;
      return Object.assign({ id: this.id, w, h: this.plot.clientHeight, T: LH.T, phone: phone(), ratio: ratio(), view: LH.market.views[this.id], chart: this }, LH.frame());
    }

    draw() {
      if (this.missing) return;
      if (this.definition.free) this.plot.classList.add("free");
      if (this.definition.tall) this.plot.classList.add("tall");
      this.marks = {};
      const env = this.env();
      const result = this.result = this.definition.draw(env);
      result.rows = result.rows || (() => LH.card.dailyRows(env.view, env.A, env.i0, env.i1));
      clear(this.card.querySelector(".legend"), result.legend || []);
      clear(this.card.querySelector(".chips"), result.chips || []);
      clear(this.card.querySelector(".foot"), (result.foot || []).filter(Boolean).map((text) => el("p", null, text)));
      const [marts, unit] = result.source || [env.view.marts, env.view.unit];
      this.card.querySelector(".source").replaceChildren(el("span", { class: "marts" }, marts), " · ", el("span", { class: "unit" }, unit), this.coverage(env, result));
      if (result.absent) {
        this.dispose();
        clear(this.plot, el("p", { class: "absent" }, el("span", { class: "hatch", "aria-hidden": "true" }), result.absent));
        this.plot.classList.add("free");
      } else if (this.definition.free) clear(this.plot, result.html);
      else this.paint(env, result);
      const twin = document.getElementById(this.id + "-table");
      if (!twin.hidden) LH.card.fillTable(this.id);
    }

    // How much of the window is known, and up to when: beside the mart and the unit of every chart by day.
    coverage(env, result) {
      const known = result.known || (result.areas && result.areas[0] && result.areas[0].unknown && result.areas[0].unknown.map((flag) => !flag));
      if (!known || result.absent) return "";
      const last = known.lastIndexOf(true);
      const days = result.days || env.days;
      this.known = { days: known.filter(Boolean).length, of: known.length, last: last >= 0 ? days[last] : null };
      return el("span", { class: "fresh" }, ` · known on ${this.known.days} of ${this.known.of} days` + (last >= 0 ? `, newest ${days[last]}` : ""));
    }

    dispose() {
      if (this.ec) this.ec.dispose();
      this.ec = null;
      this.under = null;
    }

    paint(env, result) {
      if (!this.definition.free) this.plot.classList.remove("free");
      if (!this.under || !this.under.isConnected) {
        this.dispose();
        this.under = el("canvas", { "aria-hidden": "true" });
        const box = el("div", { class: "ec" });
        this.tip = el("div", { class: "tip", hidden: true });
        this.cursor = el("div", { class: "cursor", hidden: true });
        this.selection = el("div", { class: "selection", hidden: true });
        clear(this.plot, this.under, box, this.cursor, this.selection, this.tip);
        this.ec = echarts.init(box, null, { renderer: "canvas", width: env.w, height: env.h, devicePixelRatio: env.ratio });
      } else if (this.ec.getWidth() !== env.w || this.ec.getHeight() !== env.h) this.ec.resize({ width: env.w, height: env.h });
      this.under.width = Math.round(env.w * env.ratio);
      this.under.height = Math.round(env.h * env.ratio);
      this.under.style.width = env.w + "px";
      this.under.style.height = env.h + "px";
      const pen = this.under.getContext("2d", { willReadFrequently: false });
      this.marks.unknownDays = 0;
      for (const area of result.areas) if (area.unknown) this.marks.unknownDays += LH.cells.hatchDays(pen, env, area);
      if (result.paint) result.paint(pen, this.marks);
      this.ec.setOption(chrome(result.option || { xAxis: { show: false }, yAxis: { show: false } }), { notMerge: true });
      this.strips(result);
      this.plot.setAttribute("role", "img");
      this.plot.setAttribute("tabindex", "0");
      this.plot.setAttribute("aria-label", this.card.querySelector("h2").textContent + ". " + (result.summary || ""));
      if (result.tip) this.listen();
      this.showCursor(LH.cursorDay, false);
    }

    // Coverage under the axis: one thin run for days of one state. Complete is quiet, partial loud, unknown hatched.
    strips(result) {
      for (const old of this.plot.querySelectorAll(".strip")) old.remove();
      if (!result.strip) return;
      const area = result.areas[0];
      const n = result.strip.length;
      let from = 0;
      for (let at = 1; at <= n; at++) {
        if (at < n && result.strip[at] === result.strip[from]) continue;
        const color = { complete: LH.T.complete, partial: LH.T.partial, missing: LH.T.missing }[result.strip[from]];
        const box = el("div", { class: "strip" + (color ? "" : " hatch") });
        box.style.cssText += `left:${area.left + from * area.width / n}px;width:${(at - from) * area.width / n}px;top:${area.top + area.height + 1}px;border-radius:0;height:4px;`;
        if (color) box.style.background = color;
        this.plot.append(box);
        from = at;
      }
    }

    place(event) {
      const box = this.plot.getBoundingClientRect();
      const x = event.clientX - box.left;
      const y = event.clientY - box.top;
      const area = this.result.areas.find((one) => x >= one.left && x < one.left + one.width && (one.whole || (y >= one.top - 4 && y <= one.top + one.height + 26)));
      if (!area) return { x, y, at: -1 };
      const n = area.n || LH.frameLength(this.result);
      return { x, y, area, at: Math.min(n - 1, Math.max(0, Math.floor((x - area.left) / area.width * n))) };
    }

    listen() {
      if (this.listening) return;
      this.listening = true;
      let begin = null;
      const plot = this.plot;
      plot.addEventListener("pointermove", (event) => {
        if (!this.ec) return;
        const spot = this.place(event);
        if (begin) this.select(begin, spot);
        if (spot.at >= 0) LH.setCursor(spot.at, this, spot);
        else LH.setCursor(-1, this);
      });
      plot.addEventListener("pointerleave", () => { begin = null; this.selection && (this.selection.hidden = true); LH.setCursor(-1, this); });
      plot.addEventListener("pointerdown", (event) => {
        if (event.pointerType !== "mouse" || event.button !== 0 || !this.ec) return;
        const spot = this.place(event);
        if (spot.area) begin = spot;
      });
      plot.addEventListener("pointerup", (event) => {
        if (!begin) return;
        const spot = this.place(event);
        const from = begin;
        begin = null;
        this.selection.hidden = true;
        if (this.result.dragged && Math.abs(spot.y - from.y) > 1.5 * Math.abs(spot.x - from.x) && Math.abs(spot.y - from.y) > 6) this.result.dragged(from, spot);
        else if (this.result.daily !== false && spot.at >= 0 && Math.abs(spot.at - from.at) >= 2) LH.zoomTo(Math.min(from.at, spot.at), Math.max(from.at, spot.at));
      });
      plot.addEventListener("dblclick", () => { if (this.result.daily !== false) LH.zoomOut(); });
      plot.addEventListener("wheel", (event) => {
        if (!event.ctrlKey || this.result.daily === false) return;
        event.preventDefault();
        const spot = this.place(event);
        if (spot.at >= 0) LH.zoomAround(spot.at, event.deltaY > 0 ? 1.25 : 0.8);
      }, { passive: false });
      plot.addEventListener("keydown", (event) => {
        const n = LH.frameLength(this.result);
        const now = LH.cursorDay < 0 ? n : LH.cursorDay;
        const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: n - 1, PageUp: now - 30, PageDown: now + 30 }[event.key];
        if (event.key === "Escape") LH.setCursor(-1, this);
        if (to === undefined) return;
        event.preventDefault();
        LH.setCursor(Math.min(n - 1, Math.max(0, to)), this);
        LH.card.say(this.spoken());
      });
    }

    select(from, to) {
      const area = from.area;
      const vertical = this.result.dragged && Math.abs(to.y - from.y) > 1.5 * Math.abs(to.x - from.x);
      const left = vertical ? area.left : Math.max(area.left, Math.min(from.x, to.x));
      const right = vertical ? area.left + area.width : Math.min(area.left + area.width, Math.max(from.x, to.x));
      const top = vertical ? Math.max(area.top, Math.min(from.y, to.y)) : area.top;
      const bottom = vertical ? Math.min(area.top + area.height, Math.max(from.y, to.y)) : area.top + area.height;
      this.selection.hidden = false;
      this.selection.style.cssText = `left:${left}px;width:${right - left}px;top:${top}px;height:${bottom - top}px`;
    }

    spoken() {
      const tip = this.result.tip && LH.cursorDay >= 0 ? this.result.tip(LH.cursorDay, null) : null;
      return tip ? tip.title + ": " + tip.rows.map(([label, value]) => label + " " + (value && value.textContent ? value.textContent : value)).join(", ") : "";
    }

    showCursor(at, withTip, spot) {
      if (!this.cursor || !this.result || !this.result.tip) return;
      const area = (spot && spot.area) || this.result.areas[0];
      const n = this.result.n || LH.frameLength(this.result);
      this.cursor.hidden = at < 0 || at >= n || this.result.daily === false;
      if (!this.cursor.hidden) this.cursor.style.cssText = `left:${area.left + (at + 0.5) * area.width / n}px;top:${area.top}px;height:${area.height}px`;
      const tip = withTip && at >= 0 && at < n ? this.result.tip(at, spot) : null;
      this.tip.hidden = !tip;
      if (!tip) return;
      clear(this.tip, el("b", null, tip.title), tip.rows.map(([label, value, color]) => {
        const name = el("span", null, label);
        if (color) {
          const dot = el("i");
          dot.style.background = color;
          name.prepend(dot);
        }
        return el("div", null, name, el("span", null, value));
      }));
      const x = area.left + (at + 0.5) * area.width / n;
      const wide = this.tip.offsetWidth;
      const left = x + 14 + wide < this.plot.clientWidth ? x + 14 : Math.max(2, x - 14 - wide);
      this.tip.style.left = left + "px";
      this.tip.style.top = Math.max(0, Math.min((spot ? spot.y : area.top + 10) - 10, this.plot.clientHeight - this.tip.offsetHeight)) + "px";
    }
  }

  LH.cursorDay = -1;
  LH.setCursor = (at, from, spot) => {
    LH.cursorDay = at;
    for (const chart of LH.charts.values()) {
      if (!chart.ec || chart.result.absent) continue;
      const shared = chart === from || (chart.result.daily !== false && from.result.daily !== false);
      if (shared) chart.showCursor(at, chart === from, chart === from ? spot : null);
    }
  };
  LH.frameLength = (result) => result.n || LH.frame().n;

  // Definitions wait here until the page has its data.
  LH.definitions = new Map();
  LH.view = (id, definition) => LH.definitions.set(id, definition);

  LH.chart = { Chart, nice, half, extent, ticks, dayAxis, valueAxis, line, bars, gridOf, areaOf, axisText, snap, phone, state };
})();
