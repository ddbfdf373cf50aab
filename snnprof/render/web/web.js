"use strict";
// The page is complete without this script, which adds sorting, filtering, folding and the switch of price lists.
document.documentElement.classList.add("scripts");
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);

// -- numbers as Python prints them ----------------------------------------------------------------------------

const UNITS = [["J", 1e12], ["mJ", 1e9], ["µJ", 1e6], ["nJ", 1e3], ["pJ", 1], ["fJ", 1e-3]];
const UNKNOWN = "–";

/** The text of `value[method](digits)`, such as `toFixed`; a tie is rounded to the even digit, as in Python. */
function rounded(value, method, digits) {
  const [, kept, rest, power = ""] = /^(.*)(\d{20})(e.*)?$/.exec(value[method](digits + 20));
  const even = /[02468]\.?$/.test(kept) && /^50+$/.test(rest);
  return even ? kept.replace(/\.$/, "") + power : value[method](digits);
}

/** Three digits in the largest unit in which at least one digit is before the point, after rounding. */
function energyText(pj) {
  if (pj === null) return UNKNOWN;
  if (pj === 0) return "0 pJ";
  const three = Number(rounded(pj, "toExponential", 2));
  const [unit, size] = UNITS.find((each) => three >= each[1]) ?? UNITS.at(-1);
  const figure = three / size;
  const decimals = Math.max(0, 3 - String(Math.trunc(figure)).length);
  return `${figure >= 1 ? figure.toFixed(decimals) : Number(figure.toPrecision(3))} ${unit}`;
}

function shareText(share) {
  if (share === null) return UNKNOWN;
  if (share === 0) return "0 %";
  return share < 5e-4 ? "<0.1 %" : `${rounded(100 * share, "toFixed", 1)} %`;
}

// -- sorting --------------------------------------------------------------------------------------------------

function comparison(column, down) {
  const key = (row) => row.cells[column]?.dataset.sort ?? "";
  return (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const numbers = Number(x) - Number(y);
    const order = Number.isNaN(numbers) ? x.localeCompare(y, undefined, { numeric: true }) : numbers;
    return down ? -order : order;
  };
}

/** Sorts blocks by their sums, and the layers within each block; in a column without sums, blocks stay in place. */
function sortTree(table, column, down) {
  const order = comparison(column, down);
  for (const body of [...table.tBodies].sort((a, b) => order(a.rows[0], b.rows[0]))) {
    for (const row of all("tr.layer", body).sort(order)) body.append(...[row, row.more].filter(Boolean));
    table.tFoot.before(body);
  }
}

function sortRows(table, column, down) {
  const body = table.tBodies[0];
  for (const row of [...body.rows].sort(comparison(column, down))) {
    row.classList.remove("ruled");
    body.append(row);
  }
}

function sortBy(head) {
  const table = head.closest("table");
  // Numbers are first sorted from the largest down; a second click reverses the order.
  const first = head.classList.contains("number") || head.classList.contains("share") ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const order = head.ariaSort === first ? second : first;
  for (const other of head.parentNode.cells) other.ariaSort = "none";
  head.ariaSort = order;
  resort(table);
}

function resort(table) {
  const head = one("th[aria-sort$='ending']", table);
  if (!head) return;
  const sort = table.id === "tree" ? sortTree : sortRows;
  sort(table, head.cellIndex, head.ariaSort === "descending");
}

/** Calls `action` when the element is clicked, or Enter or the space bar is pressed on it. */
function pressable(element, action) {
  element.tabIndex = 0;
  element.addEventListener("click", action);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    action(event);
  });
}

for (const row of all("tr.more")) row.previousElementSibling.more = row;
for (const head of all("table.sortable tr.heads th")) {
  head.ariaSort = "none";
  pressable(head, () => sortBy(head));
}

// -- the tree: filter, fold, open -----------------------------------------------------------------------------

const tree = one("#tree");
const MANY = 150; // with more lines, the blocks are folded at first

function openLine(row, wanted) {
  const button = one("button", row);
  if (!button) return;
  button.ariaExpanded = String(wanted);
  row.more.hidden = !wanted;
  one("details", row.more).open = wanted;
}

const isOpen = (row) => one("button", row)?.ariaExpanded === "true";

function refresh() {
  const words = one("#filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const kinds = new Set(all(".kinds input").filter((box) => box.checked).map((box) => box.dataset.kind));
  kinds.add("static");
  let found = 0;
  let every = 0;
  for (const body of tree.tBodies) {
    const folded = one("button.fold", body).ariaExpanded !== "true" && words.length === 0;
    let matching = 0;
    for (const row of all("tr.layer", body)) {
      const text = row.dataset.words.toLowerCase();
      const kind = [...kinds].some((each) => row.classList.contains(each));
      const matches = kind && words.every((word) => text.includes(word));
      every += 1;
      matching += matches;
      row.hidden = folded || !matches;
      if (row.more) row.more.hidden = row.hidden || !isOpen(row);
    }
    found += matching;
    body.hidden = (words.length > 0 && matching === 0) || body.rows[0].classList.contains("nothing");
  }
  one("#found").textContent = `${found} of ${every} lines`;
}

function fold(body, folded) {
  one("button.fold", body).ariaExpanded = String(!folded);
}

/** Opens the target of the address's fragment; a line of the tree is shown even if the filter excluded it. */
function reveal() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
  const row = target ? target.closest("tr.layer") : null;
  if (!row) return;
  one("#filter").value = "";
  one(".kinds input[data-kind='neurons']").checked = true;
  fold(row.closest("tbody"), false);
  refresh();
  openLine(row, true);
  row.scrollIntoView({ block: "center" });
}

function startTree() {
  for (const row of all("tr.layer", tree)) {
    if (!row.more) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.ariaExpanded = "false";
    button.ariaLabel = one("summary", row.more).textContent;
    row.cells[0].prepend(button);
    row.more.hidden = true;
    row.addEventListener("click", () => {
      if (getSelection().isCollapsed) openLine(row, !isOpen(row)); // selecting a name to copy must not open the line
    });
  }
  for (const button of all("button.fold", tree)) {
    button.closest("tr").addEventListener("click", () => {
      fold(button.closest("tbody"), button.ariaExpanded === "true");
      refresh();
    });
  }
  const foldAll = (folded) => () => {
    for (const body of tree.tBodies) fold(body, folded);
    refresh();
  };
  one("#fold").addEventListener("click", foldAll(true));
  one("#unfold").addEventListener("click", foldAll(false));
  one("#filter").addEventListener("input", refresh);
  for (const box of all(".kinds input")) box.addEventListener("change", refresh);
  if (all("tr.layer", tree).length > MANY) foldAll(true)();
}

// -- the switch of price lists --------------------------------------------------------------------------------

function choose(lists, number) {
  const list = lists[number];
  one("#prices").value = String(number);
  const texts = {
    total: list.total, interval: list.interval, id: list.id, against: list.against, title: list.title,
    evidence: list.evidence && `; evidence: ${list.evidence}`, unpriced: list.unpriced && `Not in the total: ${list.unpriced}.`,
  };
  one("#whole").textContent = list.total;
  for (const [name, text] of Object.entries(texts)) one(`#chosen-${name}`).textContent = text;
  for (const tile of all(".tile[data-prices]")) tile.ariaPressed = String(Number(tile.dataset.prices) === number);
  for (const place of all("[data-place]")) reprice(place, list);
  for (const bars of all(".bars:not(.rates)")) {
    const cost = (bar) => list.pj[bar.dataset.place] ?? -1;
    bars.append(...[...bars.children].sort((a, b) => cost(b) - cost(a)));
  }
  resort(tree);
  refresh();
}

function reprice(place, list) {
  const number = place.dataset.place;
  const pj = list.pj[number];
  const missing = list.kinds[list.missing[number]];
  place.classList.toggle("nothing", pj === null && !missing);
  const energy = one(".energy", place);
  energy.textContent = (pj !== null && missing ? "≥ " : "") + energyText(pj);
  energy.title = missing ? `no price for ${missing}` : "";
  const share = pj !== null && list.whole ? pj / list.whole : null;
  one(".track i", place).style.width = `${100 * (share ?? 0)}%`;
  one(".percent", place).textContent = shareText(share);
  for (const cell of all("td.energy, td.share", place)) cell.dataset.sort = pj ?? "";
}

function startPrices() {
  const lists = JSON.parse(one("#amounts").textContent);
  one("#prices").addEventListener("change", (event) => choose(lists, Number(event.target.value)));
  for (const tile of all(".tile[data-prices]")) {
    tile.role = "button";
    pressable(tile, () => choose(lists, Number(tile.dataset.prices)));
  }
  choose(lists, 0);
}

if (tree) {
  startTree();
  startPrices();
}
// Following the same link twice does not change the address, so clicks are handled as well.
addEventListener("hashchange", reveal);
addEventListener("click", (event) => event.target.closest("a[href^='#']") && setTimeout(reveal));
reveal();
