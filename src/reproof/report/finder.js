// The list of all claims: searched, filtered and sorted. The address keeps what is chosen.

const STEP = 50;
const FEW = 8;
const finder = document.getElementById("finder");
const claimTable = document.getElementById("claims-table");
const moreClaims = document.getElementById("more-claims");
let claims = [];
let symbols = {};
let sorting = "";
let shownRows = FEW;

// Return a text as it is compared: "ε = 0.3," and "epsilon=0.3" are the same.
function plainText(text) {
  return text.toLowerCase().replaceAll("epsilon", "ε").replace(/\s*=\s*/g, "=").replace(/[,;:](?=\s|$)/g, "");
}

async function readClaims() {
  if (!claims.length) {
    const { columns, ...rest } = await unpack("claims");
    const names = Object.keys(columns);
    symbols = rest.symbols;
    claims = columns.paper.cells.map((_, row) => {
      const claim = Object.fromEntries(names.map((name) => [name, columns[name].texts[columns[name].cells[row]]]));
      const { paper, data, defense, attack, place, claimed, word, evidence } = claim;
      claim.text = plainText([paper, data, defense, attack, place, claimed, word, evidence].join(" "));
      return claim;
    });
  }
}

function fits(claim, chosen, words) {
  return (
    Object.entries(chosen).every(([name, text]) => !text || claim[name] === text) &&
    words.every((word) => claim.text.includes(word))
  );
}

// Numbers stand before texts, and empty cells last.
function claimKey(claim, column) {
  const text = claim[column];
  const number = Number.parseFloat(text.replace("−", "-").replace(/^[(<~]/, ""));
  return text === "" ? null : Number.isNaN(number) ? text : number;
}

function orderClaims(found) {
  const down = sorting.startsWith("-");
  const column = sorting.replace("-", "");
  if (!column) {
    return found.toSorted((a, b) => a.grade.localeCompare(b.grade));
  }
  const keyed = found.map((claim) => ({ claim, key: claimKey(claim, column) }));
  keyed.sort((a, b) => {
    const kinds = (a.key === null) - (b.key === null) || (typeof a.key === "string") - (typeof b.key === "string");
    return kinds || (down ? -1 : 1) * compared(a.key, b.key);
  });
  return keyed.map(({ claim }) => claim);
}

function verdictMark(claim) {
  const mark = element("span", { class: "verdict" });
  mark.append(element("span", { "aria-hidden": "true" }, symbols[claim.word] ?? ""), ` ${claim.word} `);
  if (claim.grade.length === 1) {
    mark.append(element("span", { class: "grade" }, element("span", { class: "unseen" }, "grade "), claim.grade));
  }
  return mark;
}

// Return a number, and its interval below it.
function measuredParts(text) {
  const [number, interval] = text.split(" [");
  return interval ? [number, " ", element("span", { class: "between" }, `[${interval}`)] : [number];
}

function claimRow(claim) {
  const about = `${claim.data}: ${claim.defense}, ${[claim.setting, claim.attack].filter(Boolean).join(" ")}`;
  const verdictClass = `v-${claim.word.replaceAll(" ", "-")}`;
  const text = (content, kind = "figures") => element("td", { class: kind }, content || "–");
  const number = (label, ...parts) => element("td", { class: "figures", "data-label": label }, ...parts);
  const place = element("a", { href: `#${claim.cell}` }, claim.place);
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, place, element("span", { class: "small" }, claim.paper)),
    number("claimed", claim.claimed),
    number("measured", element("a", { href: `#${claim.card}` }, ...measuredParts(claim.measured || "why not"))),
    element("td", { class: verdictClass }, verdictMark(claim), element("span", { class: "small" }, claim.mark)),
    number("left", ...measuredParts(claim.left || "–")),
    text(about, "long"),
    text(claim.evidence, "whose"),
  );
}

async function listClaims() {
  await readClaims();
  const { q, ...chosen } = Object.fromEntries(new FormData(finder));
  const words = plainText(q).split(/\s+/).filter(Boolean);
  const found = orderClaims(claims.filter((claim) => fits(claim, chosen, words)));
  claimTable.tBodies[0].replaceChildren(...found.slice(0, shownRows).map(claimRow));
  const shown = Math.min(found.length, shownRows);
  document.getElementById("found-claims").textContent =
    `${found.length.toLocaleString("en")} of ${claims.length.toLocaleString("en")} claims` +
    (shown < found.length ? `; the first ${shown}:` : found.length ? ":" : ".");
  moreClaims.hidden = shown === found.length;
  markCut(claimTable.parentElement);
  for (const heading of claimTable.querySelectorAll("[data-column]")) {
    const isSorted = sorting.replace("-", "") === heading.dataset.column;
    const order = sorting.startsWith("-") ? "descending" : "ascending";
    isSorted ? heading.setAttribute("aria-sort", order) : heading.removeAttribute("aria-sort");
  }
}

// Return the address of what is chosen now.
function claimsAddress() {
  const chosen = [...new FormData(finder)].filter(([, text]) => text);
  const query = new URLSearchParams([...chosen, ...(sorting ? [["sort", sorting]] : [])]);
  return chosen.length || sorting ? `#claims?${query}` : "#claims";
}

// Choose what an address says.
function chooseClaims(query) {
  for (const field of finder?.elements ?? []) {
    if (field.name) {
      field.value = query.get(field.name) ?? "";
    }
  }
  sorting = query.get("sort") ?? "";
  shownRows = [...query].length ? STEP : FEW;
  listClaims();
  const section = document.getElementById("claims");
  const { top, bottom } = section.getBoundingClientRect();
  if (bottom < 0 || top > window.innerHeight) {
    section.scrollIntoView();
  }
}

function sortClaims(column) {
  sorting = sorting === column ? `-${column}` : column;
  location.hash = claimsAddress();
}

function startFinder() {
  finder.hidden = false;
  claimTable.parentElement.hidden = false;
  finder.elements.q.addEventListener("input", () => {
    history.replaceState(null, "", claimsAddress());
    shownRows = STEP;
    listClaims();
  });
  finder.addEventListener("submit", (event) => event.preventDefault());
  finder.addEventListener("change", () => (location.hash = claimsAddress()));
  finder.addEventListener("reset", () => {
    sorting = "";
    location.hash = "#claims";
  });
  moreClaims.addEventListener("click", () => {
    shownRows += STEP;
    listClaims();
  });
  for (const heading of claimTable.querySelectorAll("[data-column]")) {
    const button = element("button", { type: "button", class: "sort" }, ...heading.childNodes);
    button.addEventListener("click", () => sortClaims(heading.dataset.column));
    heading.append(button);
  }
  listClaims();
}

// All three parts are there: begin.
addFoldButtons(document.getElementById("tables"));
document.querySelectorAll("table.sortable").forEach(makeSortable);
buildUnfolded(document);
markAllCut();
if (finder) {
  startFinder();
}
window.addEventListener("hashchange", route);
if (addressed()) {
  byAddress = isCard(addressed());
  route();
}
