// What a CloudWatch dashboard does for a custom widget: calls its function with a context, cleans the answer, shows it,
// and carries out its cwdb-action elements.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_interactivity.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_security.html
"use strict";

const at = (id) => document.getElementById(id);
let settings = { function: "", params: {}, title: "" };

// ------------------------------------------------------------------ cleaning

const FORBIDDEN = "script, iframe, frame, object, embed, use, base, meta, link, foreignObject, animate, set";
const ADDRESSES = new Set(["href", "xlink:href", "src", "action", "formaction", "data", "poster", "background"]);

function isActive(attribute) {
  const name = attribute.name.toLowerCase();
  const address = attribute.value.replace(/[\u0000-\u0020]/g, "").toLowerCase();
  const scripted = /^(javascript|vbscript|data):/.test(address) && !/^data:image\/(png|jpeg|gif);/.test(address);
  return name.startsWith("on") || name === "srcdoc" || (ADDRESSES.has(name) && scripted);
}

// The answer's nodes without anything that runs, and what was taken out, by name.
function cleaned(html) {
  const body = new DOMParser().parseFromString(html, "text/html").body;
  const removed = [];
  for (const element of body.querySelectorAll(FORBIDDEN)) {
    removed.push(element.localName);
    element.remove();
  }
  for (const element of body.querySelectorAll("*")) {
    for (const attribute of [...element.attributes].filter(isActive)) {
      removed.push(`${element.localName} ${attribute.name}`);
      element.removeAttribute(attribute.name);
    }
  }
  return { nodes: [...body.childNodes], removed };
}

// ------------------------------------------------------------------ showing

// HTML is a string; {"markdown": ...} and other JSON are shown as text here.
function show(target, answer) {
  const isHtml = typeof answer === "string";
  const { nodes, removed } = isHtml ? cleaned(answer) : { nodes: [], removed: [] };
  target.replaceChildren(...nodes);
  target.dataset.removed = removed.join(", ");
  if (!isHtml) showText(target, answer?.markdown ?? JSON.stringify(answer, null, 2));
  for (const action of target.querySelectorAll("cwdb-action")) bind(action);
}

function showText(target, text) {
  const shown = document.createElement("pre");
  shown.textContent = text;
  target.replaceChildren(shown);
}

// A cwdb-action acts on the element just before it.
function bind(action) {
  const element = action.previousElementSibling;
  const does = (name, otherwise) => action.getAttribute(name) || otherwise;
  const kind = does("action", "html");
  const event = does("event", "click");
  action.hidden = true;
  if (!element || !["click", "dblclick", "mouseenter"].includes(event)) return;
  if (event === "mouseenter" && kind !== "html") return;
  element.addEventListener(event, async () => {
    if (action.hasAttribute("confirmation") && !(await confirmed(action.getAttribute("confirmation")))) return;
    const isPopup = does("display", "widget") === "popup";
    const target = isPopup ? at("answer") : at("widget");
    if (kind === "html") show(target, action.innerHTML);
    else await call(target, does("endpoint", ""), JSON.parse(action.textContent.trim() || "{}"));
    if (isPopup && !at("popup").open) at("popup").showModal();
  });
}

function confirmed(question) {
  at("question").textContent = question;
  at("confirm").returnValue = "";
  at("confirm").showModal();
  return new Promise((resolve) => {
    at("confirm").addEventListener("close", () => resolve(at("confirm").returnValue === "yes"), { once: true });
  });
}

// ------------------------------------------------------------------ calling

function context() {
  const end = Date.now();
  const seconds = Number(at("range").value);
  const minutes = at("zone").value === "local" ? -new Date().getTimezoneOffset() : 0;
  const two = (n) => String(Math.floor(Math.abs(n))).padStart(2, "0");
  const forms = [...at("widget").querySelectorAll("form")].flatMap((form) => [...new FormData(form)]);
  return {
    dashboardName: "local",
    widgetId: "widget-1",
    accountId: "000000000000",
    locale: "en",
    timezone: {
      label: minutes ? "Local" : "UTC",
      offsetISO: `${minutes < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`,
      offsetInMinutes: minutes,
    },
    period: 60,
    isAutoPeriod: true,
    timeRange: { mode: "relative", start: end - seconds * 1000, end, relativeStart: seconds * 1000 },
    theme: at("theme").value,
    linkCharts: true,
    title: settings.title,
    forms: { all: Object.fromEntries(forms) },
    params: settings.params,
    width: at("widget").clientWidth,
    height: at("widget").clientHeight,
  };
}

// Each target's last call: an answer that comes late must not replace a newer one.
const latest = new WeakMap();

async function call(target, endpoint, event) {
  const mine = (latest.get(target) ?? 0) + 1;
  latest.set(target, mine);
  target.classList.add("busy");
  try {
    const response = await fetch("invoke", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ endpoint, event: { ...event, widgetContext: context() } }),
    });
    const answer = await response.json();
    if (mine !== latest.get(target)) return;
    if (response.ok) show(target, answer.payload);
    else showText(target, answer.error);
  } catch (error) {
    if (mine === latest.get(target)) showText(target, `The page's own server does not answer: ${error}`);
  } finally {
    target.classList.remove("busy");
    target.dataset.shown = String(mine);
  }
}

function refresh() {
  document.documentElement.dataset.theme = at("theme").value;
  at("frame").style.setProperty("--columns", at("width").value);
  return call(at("widget"), settings.function, settings.params);
}

let timer;

async function start() {
  settings = await (await fetch("settings")).json();
  at("title").textContent = settings.title;
  const wished = new URLSearchParams(location.search);
  for (const id of ["range", "zone", "width", "theme", "every"]) {
    if (wished.has(id)) at(id).value = wished.get(id);
    at(id).addEventListener("change", refresh);
  }
  at("refresh").addEventListener("click", refresh);
  at("every").addEventListener("change", keepFresh);
  keepFresh();
  await refresh();
}

function keepFresh() {
  clearInterval(timer);
  const seconds = Number(at("every").value);
  if (seconds) timer = setInterval(refresh, seconds * 1000);
}

start();
