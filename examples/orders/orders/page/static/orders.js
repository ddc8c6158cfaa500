// The live part of the order page: sends orders, and shows how they and the stock stand.
// What the server says is data: it is put in place as text, never as markup.

const POLL_MS = 1000;
const LISTED = 12;

const element = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const money = (cents) => new Intl.NumberFormat("en", { style: "currency", currency: "EUR" }).format(cents / 100);

/** Newest first: {order_id, text, answer}. */
const orders = [];

/** An id for the next order. crypto.randomUUID is missing on pages served without TLS. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function cell(content, className = "", ...more) {
  const td = document.createElement("td");
  td.className = className;
  td.append(content, ...more);
  return td;
}

function row(...cells) {
  const tr = document.createElement("tr");
  tr.append(...cells);
  return tr;
}

function tagged(name, text, className = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function say(text, kind) {
  const notice = element("notice");
  notice.className = `notice ${kind}`;
  notice.textContent = text;
}

function showProblems(form, problems) {
  for (const input of form.querySelectorAll("input:not([type=hidden])")) {
    const problem = problems[input.name] ?? "";
    input.setAttribute("aria-invalid", problem ? "true" : "false");
    element(`${input.name}-problem`).textContent = problem;
  }
  form.querySelector("[aria-invalid=true]")?.focus();
}

/** POST a JSON object; answers {ok, data}, and says what went wrong where it is not about a field. */
async function post(path, data) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(data),
    });
    const answer = await response.json();
    if (response.ok) return { ok: true, data: answer };
    say(answer.detail ?? "This was not sent: see below.", "bad");
    return { ok: false, data: answer };
  } catch {
    say("The front end does not answer. Nothing is known to be accepted; send it again.", "bad");
    return { ok: false, data: {} };
  }
}

async function submitted(event, send) {
  event.preventDefault();
  const button = event.submitter ?? event.target.querySelector("button");
  button.disabled = true;
  try {
    await send(event.target, Object.fromEntries(new FormData(event.target)));
  } finally {
    button.disabled = false;
  }
}

function remember(entries) {
  orders.unshift(...entries);
  orders.length = Math.min(orders.length, LISTED);
  drawOrders();
}

async function placeOrder(form, data) {
  const { ok, data: answer } = await post("/orders", data);
  showProblems(form, answer.errors ?? {});
  if (!ok) return;
  say(`Order ${answer.order_id} is accepted.`, "good");
  remember([{ order_id: answer.order_id, text: `${data.quantity} × ${data.sku}` }]);
  // The next order is another one; this id stays with the order just sent.
  form.elements.order_id.value = newId();
  form.elements.quantity.value = "1";
}

async function makeLoad(form, data) {
  const max = Number(form.elements.count.dataset.max);
  const count = /^\d{1,6}$/.test(data.count.trim()) ? Number(data.count) : 0;
  if (count < 1 || count > max) {
    showProblems(form, { count: `give a whole number from 1 to ${max}` });
    return;
  }
  showProblems(form, {});
  const { ok, data: answer } = await post("/orders/load", { count });
  if (!ok) return;
  const refused = answer.refused ? `, ${number.format(answer.refused)} were not: send these again` : "";
  say(`${number.format(answer.accepted)} orders are accepted${refused}.`, answer.refused ? "bad" : "good");
  remember(answer.order_ids.slice(-LISTED).reverse().map((order_id) => ({ order_id, text: "load" })));
}

function drawOrders() {
  element("no-orders").hidden = orders.length > 0;
  element("orders").hidden = orders.length === 0;
  element("orders").tBodies[0].replaceChildren(
    ...orders.map(({ order_id, text, answer }) => {
      const status = answer?.status ?? "waiting";
      const stored = status === "stored";
      const badge = tagged("span", status, `badge ${status}`);
      return row(
        cell(tagged("code", order_id.slice(0, 8))),
        cell(stored ? `${answer.quantity} × ${answer.sku}` : text),
        cell(stored ? money(answer.amount_cents) : "", "number"),
        cell(stored ? `${Math.max(0, answer.wait_s).toFixed(1)} s` : "", "number"),
        status === "dead-lettered" ? cell(badge, "", tagged("span", answer.cause, "cause")) : cell(badge),
      );
    }),
  );
}

function drawStats({ database, queue, problems }) {
  element("trouble").textContent = problems.join(" ");
  for (const name of ["waiting", "in_work", "dead_letters"]) {
    element(name).textContent = queue?.[name] === undefined ? "–" : number.format(queue[name]);
  }
  element("orders_count").textContent = database ? number.format(database.orders_count) : "–";
  element("payments").textContent = database ? money(database.payments_cents) : "–";
  if (!database) return;
  element("stock").tBodies[0].replaceChildren(
    ...database.stock.map((item) =>
      row(
        cell(`${item.name} (${item.sku})`),
        cell(money(item.price_cents), "number"),
        cell(number.format(item.on_hand), "number"),
      ),
    ),
  );
  const skus = database.stock.map((item) => item.sku);
  const known = [...element("items").options].map((option) => option.value);
  if (skus.join() !== known.join()) {
    element("items").replaceChildren(...database.stock.map((item) => new Option(item.name, item.sku)));
  }
}

async function refreshOrders() {
  const open = orders.filter((order) => order.answer?.status !== "stored");
  if (open.length === 0) return;
  const query = new URLSearchParams(open.map((order) => ["id", order.order_id]));
  const response = await fetch(`/orders?${query}`);
  if (!response.ok) return;
  const answers = new Map((await response.json()).orders.map((answer) => [answer.order_id, answer]));
  for (const order of open) order.answer = answers.get(order.order_id);
  drawOrders();
}

async function refresh() {
  try {
    if (!document.hidden) {
      drawStats(await (await fetch("/stats")).json());
      await refreshOrders();
    }
  } catch {
    element("trouble").textContent = "The front end does not answer.";
  }
  setTimeout(refresh, POLL_MS);
}

element("order").addEventListener("submit", (event) => submitted(event, placeOrder));
element("load").addEventListener("submit", (event) => submitted(event, makeLoad));
refresh();
