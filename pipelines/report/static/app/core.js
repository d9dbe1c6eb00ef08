// The page's one global: what was loaded, the state in the address, and making elements. Text is only ever set as text.
"use strict";

var LH = (function () {
  const errors = [];
  window.addEventListener("error", (event) => errors.push(String(event.message || event.type)));
  window.addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));

  const build = document.body.dataset.build;
  const page = document.body.dataset.page;
  const values = new Map();
  const waiting = new Map();

  // Data files call this. One of another build means that a newer report took this one's place while the page was open.
  function put(key, from, value) {
    if (from !== build) {
      const note = document.querySelector(".banner.stale");
      note.textContent = "A newer report was written. Load this page again to see it.";
      note.hidden = false;
      return;
    }
    values.set(key, value);
  }

  function load(key) {
    if (values.has(key)) return Promise.resolve(values.get(key));
    if (!waiting.has(key)) {
      waiting.set(key, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = "data/" + encodeURIComponent(key) + ".js";
        script.onload = () => {
          script.remove();
          if (values.has(key)) resolve(values.get(key));
          else reject(new Error("data/" + key + ".js belongs to another report"));
        };
        script.onerror = () => reject(new Error("data/" + key + ".js is missing"));
        document.head.append(script);
      }));
    }
    return waiting.get(key);
  }

  const defaults = { a: "", layer: "realized", oi: "usd", days: "", theme: "", pub: "", day: "", zone: "", to: "", png: "", overlays: "" };

  function readState() {
    const state = Object.assign({}, defaults);
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) if (name in defaults) state[name] = value;
    return state;
  }

  const state = readState();

  function writeState() {
    const kept = new URLSearchParams();
    for (const name of Object.keys(defaults)) if (state[name] !== defaults[name]) kept.set(name, state[name]);
    const hash = kept.toString();
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
  }

  // el("td", {class: "l"}, child, "text") - attributes by setAttribute, functions as listeners, null children left out.
  function el(name, attributes, ...children) {
    return fill(document.createElement(name), attributes, children);
  }

  function svg(name, attributes, ...children) {
    return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
  }

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (typeof value === "function") node.addEventListener(name, value);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
    return node;
  }

  function clear(node, ...children) {
    node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }

  return { errors, build, page, put, load, values, state, readState, writeState, el, svg, clear, charts: new Map(), picture: false };
})();
