// A range of prices named by the reader: what was liquidated inside it, when the close entered, and what followed.
"use strict";

(function () {
  const { el, state } = LH;
  const F = LH.format;

  function parse(text) {
    const parts = String(text).split("-").map(Number);
    return parts.length === 2 && parts.every((value) => Number.isFinite(value) && value > 0) && parts[0] < parts[1] ? parts : null;
  }

  function set(prices) {
    const tidy = (value) => Number(value.toPrecision(4));
    state.zone = prices ? prices.map(tidy).join("-") : "";
    fill();
    LH.changed(["heat"]);
  }

  // Returns counted from the close of the next day: the first price there is once the entering close is known.
  function after(close, at, days) {
    const from = close[at + 1];
    const to = close[at + 1 + days];
    return F.known(from) && F.known(to) ? to / from - 1 : null;
  }

  function study(A, i0, i1, zone) {
    const [low, high] = zone;
    const close = A.column("price", "close_usd");
    const cells = A.cells("heat", ["notional_usd", "long_usd", "short_usd", "is_dense", "input_grain"]);
    let long = 0;
    let short = 0;
    let bins = 0;
    const days = new Set();
    const entries = [];
    for (let at = i0; at <= i1; at++) {
      for (const cell of cells[at]) {
        const middle = (cell.low + cell.high) / 2;
        if (middle < low || middle >= high) continue;
        long += cell.long_usd || 0;
        short += cell.short_usd || 0;
        bins++;
        days.add(at);
      }
      const inside = (value) => F.known(value) && value >= low && value < high;
      if (inside(close[at]) && at > 0 && F.known(close[at - 1]) && !inside(close[at - 1])) {
        entries.push({ day: A.days[at], from: close[at - 1] < low ? "below" : "above", after1: after(close, at, 1), after7: after(close, at, 7) });
      }
    }
    return { long, short, bins, days: days.size, entries };
  }

  function verdict() {
    const row = LH.market.scorecard.find((one) => one.signal === "dense_liquidation_zone");
    return row ? `In the record, dense_liquidation_zone: ${row.verdict}, ${row.n_events} events.` : "dense_liquidation_zone is not scored in this file.";
  }

  function told(env, zone) {
    if (!zone) return null;
    const found = study(env.A, env.i0, env.i1, zone);
    const say = (value) => (F.known(value) ? F.change(value) : "not known yet");
    const shown = found.entries.slice(-6).map((one) => `${one.day} from ${one.from} (1 d later ${say(one.after1)}, 7 d later ${say(one.after7)})`);
    return el("span", null, el("b", null, `Range ${F.price(zone[0])} to ${F.price(zone[1])}: `),
      found.bins ? `liquidated inside ${F.usd(found.long)} longs and ${F.usd(found.short)} shorts on ${found.days} days. ` : "nothing was liquidated inside on the days shown that are covered. ",
      found.entries.length ? `The close entered ${found.entries.length === 1 ? "once" : found.entries.length + " times"}${found.entries.length > 6 ? ", last" : ""}: ${shown.join(", ")}; counted from the next day's close. ` : "The close did not enter it. ",
      "A description of the past, not evidence. " + verdict());
  }

  function fill() {
    const zone = parse(state.zone);
    const [low, high] = document.querySelectorAll(".zone input");
    if (!low) return;
    low.value = zone ? zone[0] : "";
    high.value = zone ? zone[1] : "";
  }

  function form() {
    const card = document.getElementById("heat");
    if (!card || LH.market.views.heat.missing.length) return;
    const input = (label) => el("input", { type: "number", step: "any", min: "0", inputmode: "decimal", "aria-label": label, placeholder: label.split(" ").pop() });
    const low = input("Price range from");
    const high = input("Price range to");
    const box = el("form", { class: "zone", submit: (event) => {
      event.preventDefault();
      const prices = [Number(low.value), Number(high.value)].sort((a, b) => a - b);
      set(prices[0] > 0 && prices[0] < prices[1] ? prices : null);
    } }, el("span", null, "Price range"), low, "to", high, el("button", { type: "submit" }, "Show"), el("button", { type: "button", click: () => set(null) }, "Clear"),
    el("span", { class: "source" }, "or drag up and down in the picture"));
    card.querySelector(".foot").after(box);
    fill();
  }

  LH.zone = { parse, set, told, form, fill, study };
})();
