// Starts the page: reads what there is, draws the first charts at once and the rest in idle time, follows the address.
"use strict";

(function () {
  const { state, el, clear } = LH;
  const SPANS = [["30", "30d"], ["90", "90d"], ["180", "180d"], ["365", "1y"], ["all", "All"]];
  let asset = null;
  let frame = null;

  LH.entry = () => LH.market.assets.find((one) => one.asset === state.a) || null;

  // The shown days: as many as are asked for, at most what a column of two device pixels leaves room for.
  function makeFrame() {
    if (!asset) return { A: null, i0: 0, i1: -1, n: 0, days: [] };
    const phone = LH.chart.phone();
    const narrow = document.querySelector("main").clientWidth - 110;
    const fits = Math.max(30, Math.floor(narrow * (window.devicePixelRatio || 1) / 2));
    let i1 = state.to ? asset.at(state.to) : asset.n - 1;
    if (i1 < 0) i1 = asset.n - 1;
    const wanted = state.days === "all" ? asset.n : Number(state.days) || (phone ? 90 : 180);
    const n = Math.max(1, Math.min(wanted, fits, i1 + 1));
    return { A: asset, i0: i1 - n + 1, i1, n, days: asset.days.slice(i1 - n + 1, i1 + 1), cut: n < Math.min(wanted, i1 + 1) };
  }

  LH.frame = () => frame;

  async function loadAsset() {
    const entry = LH.entry();
    const until = state.to || entry.last;
    const wanted = state.days === "all" ? Infinity : Number(state.days) || 180;
    const first = LH.data.number(until) - wanted - 8;
    let years = entry.years.filter((year) => first === -Infinity || LH.data.number(year + "-12-31") >= first);
    if (!years.length) years = entry.years.slice(-1);
    if (asset && asset.entry === entry && asset.years <= years[0]) years = entry.years.filter((year) => year >= asset.years);
    const predicted = entry.levels && state.layer !== "realized";
    const parts = await Promise.all(years.map((year) => LH.load(entry.slug + "-" + year)));
    if (predicted) {
      const layers = await Promise.all(years.map((year) => LH.load(entry.slug + "-" + year + "-levels")));
      layers.forEach((one, at) => { parts[at].levels = one.levels; });
    }
    const chain = entry.options ? await LH.load(entry.slug + "-options") : null;
    asset = new LH.data.Asset(entry, parts);
    asset.years = years[0];
    asset.chain = chain;
    const unlisted = [...new Set([...asset.keys("oi"), ...asset.keys("fundingv"), ...asset.keys("feeds")])].filter((venue) => !LH.market.venues.includes(venue)).sort();
    LH.unlisted = (venue) => Math.max(0, unlisted.indexOf(venue));
  }

  function head() {
    const entry = LH.page === "asset" || LH.page === "asof" ? LH.entry() : null;
    const text = document.getElementById("span");
    const published = LH.market.published_at ? LH.market.published_at.slice(0, 16).replace("T", " ") : "unknown";
    if (LH.page === "asset") {
      document.getElementById("title").textContent = entry.asset;
      document.title = entry.asset + " · leverhouse" + (LH.market.simulated ? " · simulated market" : "");
      text.textContent = `${frame.days[0]} to ${frame.days[frame.n - 1]} UTC · published ${published} · one column is one UTC day${frame.cut ? `, ${frame.n} fit this width` : ""}`;
    } else if (LH.page === "asof") {
      document.getElementById("title").textContent = "As of: " + (entry ? entry.asset : "");
      text.textContent = `published ${published}`;
    } else text.textContent = `last day ${LH.market.last} UTC · published ${published} · ${LH.market.assets.length} assets`;
    document.getElementById("made").textContent = `Drawn from the published file of ${published} UTC.`;
    for (const link of document.querySelectorAll("nav a.asset")) {
      const same = entry && link.dataset.asset === entry.asset;
      if (same) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      link.href = (LH.page === "asof" ? "asof.html#" : "asset.html#") + new URLSearchParams({ a: link.dataset.asset });
    }
    const picker = document.getElementById("assets");
    if (picker) picker.value = entry ? entry.asset : "";
    const days = document.getElementById("days");
    if (LH.page !== "asof") {
      const pressed = state.days || (LH.chart.phone() ? "90" : "180");
      clear(days, SPANS.map(([value, label]) => el("button", { type: "button", "data-set": "days", "data-value": value, "aria-pressed": String(value === pressed) }, label)));
    }
    for (const button of document.querySelectorAll("button[data-set]")) {
      if (button.dataset.set !== "days") button.setAttribute("aria-pressed", String(state[button.dataset.set] === button.dataset.value));
    }
    const levels = entry && entry.levels;
    for (const button of document.querySelectorAll('button[data-set="layer"]')) {
      if (button.dataset.value === "realized") continue;
      button.disabled = !levels;
      button.title = levels ? "" : "not available: the published file holds no expected dollars of this asset";
    }
  }

  let turn = 0;
  const AT_ONCE = 2;

  // Draws charts one after another; a newer request ends an older one. Resolves when all asked for are drawn.
  function draw(ids, urgent) {
    const mine = ++turn;
    const wanted = [...LH.charts.values()].filter((chart) => !ids || ids.includes(chart.id));
    return new Promise((resolve) => {
      let next = 0;
      const step = () => {
        if (mine !== turn) return resolve(false);
        const chart = wanted[next++];
        if (!chart) return resolve(true);
        chart.draw();
        if (urgent || next < AT_ONCE) step();
        else if (window.requestIdleCallback) window.requestIdleCallback(step, { timeout: 60 });
        else setTimeout(step, 0);
      };
      step();
    });
  }

  function heights() {
    for (const chart of LH.charts.values()) {
      if (chart.definition.height && !LH.picture) chart.plot.style.height = chart.definition.height(LH.chart.phone()) + "px";
    }
  }

  async function prepare() {
    LH.theme.apply(false);
    if (LH.page === "asset" || LH.page === "asof") {
      if (!LH.entry()) state.a = LH.market.assets.length ? (LH.market.assets.find((one) => one.asset === "BTC") || LH.market.assets[0]).asset : "";
      if (!LH.entry()) return;
      if (LH.page === "asset") await loadAsset();
      else await LH.asof.load();
    }
    frame = makeFrame();
    head();
    if (LH.figures && asset) LH.figures();
    if (LH.zone) LH.zone.fill();
    heights();
    LH.writeState();
  }

  async function show(urgent) {
    await prepare();
    if ((LH.page === "asset" || LH.page === "asof") && !LH.entry()) return false;
    return draw(null, urgent);
  }

  LH.changed = (ids) => {
    LH.writeState();
    head();
    return draw(ids, true);
  };

  // Changes parts of the state and resolves when everything is drawn.
  LH.set = async (change) => {
    for (const [name, value] of Object.entries(change)) state[name] = value === null ? "" : String(value);
    if ("a" in change) Object.assign(state, { to: "", zone: change.zone || "", day: "" });
    await show(true);
    return LH.api.state();
  };
  LH.drawAll = () => show(true);

  LH.zoomTo = (from, to) => LH.set({ to: frame.days[to], days: to - from + 1 });
  LH.zoomOut = () => LH.set({ to: "", days: "" });
  LH.zoomAround = (at, times) => {
    const n = Math.max(7, Math.min(asset.n, Math.round(frame.n * times)));
    const end = Math.min(asset.n - 1, Math.max(n - 1, frame.i0 + at + Math.round((frame.n - 1 - at) * times)));
    LH.set({ to: asset.days[end], days: n });
  };

  function wire() {
    for (const [id, definition] of LH.definitions) {
      const card = document.getElementById(id);
      if (!card) continue;
      LH.charts.set(id, new LH.chart.Chart(id, definition));
      LH.card.wire(card);
    }
    // In the order of the page, not of the scripts.
    const order = [...document.querySelectorAll(".card[data-view]")].map((card) => card.dataset.view);
    const charts = order.map((id) => LH.charts.get(id)).filter(Boolean);
    LH.charts.clear();
    for (const chart of charts) LH.charts.set(chart.id, chart);
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-set]");
      if (button && !button.disabled) LH.set(Object.assign({ [button.dataset.set]: button.dataset.value }, button.dataset.set === "days" ? { to: "" } : {}));
    });
    document.getElementById("theme").addEventListener("click", () => LH.set({ theme: LH.theme.isDark() ? "light" : "dark" }));
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (!state.theme) show(true); });
    const picker = document.getElementById("assets");
    if (picker) picker.addEventListener("change", () => {
      if (!picker.value) return;
      if (LH.page === "asset" || LH.page === "asof") LH.set({ a: picker.value });
      else location.href = "asset.html#" + new URLSearchParams({ a: picker.value });
    });
    window.addEventListener("hashchange", () => { Object.assign(state, LH.readState()); show(true); });
    let later = 0;
    window.addEventListener("resize", () => { clearTimeout(later); later = setTimeout(() => { if (!LH.printing) show(true); }, 120); });
    window.addEventListener("beforeprint", () => { LH.printing = true; LH.theme.apply(true); draw(null, true); });
    window.addEventListener("afterprint", () => { LH.printing = false; show(true); });
    if (LH.zone) LH.zone.form();
    if (LH.asof) LH.asof.wire();
  }

  // One card alone, for a picture in a post or on a slide.
  function picture() {
    const card = document.getElementById(state.png);
    if (!card) return;
    LH.picture = true;
    document.body.classList.add("picture");
    card.classList.add("pictured");
    for (const id of [...LH.charts.keys()]) if (id !== state.png) LH.charts.delete(id);
  }

  // The plot takes what the picture's height leaves.
  async function fitPicture() {
    const plot = LH.charts.get(state.png).plot;
    const chart = LH.charts.get(state.png);
    if (chart.definition.free) return;
    plot.style.height = "";
    const rest = document.body.getBoundingClientRect().height - plot.clientHeight;
    document.body.style.setProperty("--picture-plot", Math.max(160, window.innerHeight - rest - 8) + "px");
    await show(true);
  }

  LH.ready = (async () => {
    LH.market = await LH.load("market");
    if (LH.page === "trust") LH.trust = await LH.load("trust");
    wire();
    if (state.png) picture();
    await show(Boolean(state.png));
    if (LH.picture) await fitPicture();
    document.documentElement.dataset.ready = "yes";
    return true;
  })();
  LH.ready.catch((error) => LH.errors.push(String(error)));
})();
