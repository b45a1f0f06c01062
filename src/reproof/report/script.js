"use strict";
// The page carries most of itself as packed text. This builds a block when it is unfolded, printed or pointed to.
// Cards are built by cards.js, the list of all claims by finder.js; all three are one script on the page.

const packs = new Map();

// Return what a pack holds: base64 of gzip of JSON, unpacked when it is first asked for.
function unpack(name) {
  if (!packs.has(name)) {
    packs.set(name, read(document.getElementById(`pack-${name}`).textContent));
  }
  return packs.get(name);
}

async function read(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Blocks: a place holds the name of its block, and in a noscript what stands there without one.

function isUnfolded(place) {
  for (let fold = place.closest("details"); fold; fold = fold.parentElement.closest("details")) {
    if (!fold.open) {
      return false;
    }
  }
  return true;
}

async function build(place) {
  const { pack, name } = place.dataset;
  const content = pack ? (await unpack(pack))[name] : undefined;
  if (place.classList.contains("later")) {
    place.classList.remove("later");
    place.innerHTML = content ?? place.querySelector("noscript").textContent;
    place.querySelectorAll("table.sortable").forEach(makeSortable);
    place.querySelectorAll(CUT).forEach(markCut);
    await buildUnfolded(place);
  }
}

async function buildUnfolded(root) {
  for (const place of [...root.querySelectorAll(".later")].filter(isUnfolded)) {
    await build(place);
  }
}

async function buildNamed(name, blocks) {
  const find = () => [...document.querySelectorAll(".later")].find((place) => place.dataset.name === name);
  if (!find()) {
    await buildHolder(`data-name="${name}"`, blocks);
  }
  const place = find();
  if (place) {
    await build(place);
  }
}

// Build the block whose HTML holds a text, and first the blocks that it stands in.
async function buildHolder(text, blocks) {
  const name = Object.keys(blocks).find((each) => blocks[each].includes(text));
  if (name) {
    await buildNamed(name, blocks);
  }
}

document.addEventListener(
  "toggle",
  (event) => {
    if (event.target.open && event.target.matches("details")) {
      buildUnfolded(event.target);
      event.target.querySelectorAll(CUT).forEach(markCut);
    }
  },
  true,
);

// What is wider than its place fades out at the edge over which more lies.

const CUT = ".scroll, .canvas, nav.sub";

function markCut(place) {
  place.classList.toggle("cut", place.scrollLeft + place.clientWidth < place.scrollWidth - 2);
}

function markAllCut() {
  document.querySelectorAll(CUT).forEach(markCut);
}

document.addEventListener("scroll", (event) => event.target.matches?.(CUT) && markCut(event.target), true);
window.addEventListener("resize", markAllCut);

// Places that a link or the address points to.

function unfold(target) {
  let folded = false;
  const innermost = target.querySelector(":scope > details.whole") ?? target.closest("details");
  for (let fold = innermost; fold; fold = fold.parentElement.closest("details")) {
    folded = folded || !fold.open;
    fold.open = true;
  }
  return folded;
}

async function reveal(id) {
  if (!id) {
    return;
  }
  const there = document.getElementById(id);
  if (!there) {
    await buildHolder(`id="${id}"`, await unpack("blocks"));
  }
  const target = document.getElementById(id);
  if (target) {
    const folded = unfold(target);
    document.querySelector(".pointed")?.classList.remove("pointed");
    target.classList.add("pointed");
    await buildUnfolded(target.closest("section") ?? document);
    const cell = Boolean(target.closest("tbody"));
    if (folded || !there || cell) {
      target.scrollIntoView({ block: cell ? "center" : "start" }); // a table's head stays in view, above its cells
    }
  }
}

const addressed = () => decodeURIComponent(location.hash.slice(1));

const isChoice = (id) => Boolean(finder) && (id === "claims" || id.startsWith("claims?"));

// Show what the address names: a card, chosen claims, or a place on the page. From a card back to where it was opened,
// nothing else moves.
function route(event) {
  const id = addressed();
  if (isCard(id)) {
    if (!panel.open && event?.oldURL) {
      openedFrom = event.oldURL;
    }
    showCard(id);
  } else if (!leaveCards() || location.href !== openedFrom) {
    if (isChoice(id)) {
      chooseClaims(new URLSearchParams(id.slice("claims?".length)));
    } else {
      reveal(id);
    }
  }
}

document.addEventListener("click", (event) => {
  // Before the browser follows it: a link to the place that the address names already changes no hash.
  const link = event.target.closest('a[href^="#"]');
  if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) {
    return;
  }
  const id = decodeURIComponent(link.hash.slice(1));
  if (isCard(id)) {
    rememberOpener(link);
  } else if (id === "claims" && finder && claimsAddress() !== "#claims") {
    // What was searched for stays.
    event.preventDefault();
    location.hash === claimsAddress() ? route() : (location.hash = claimsAddress());
    return;
  }
  if (link.hash === location.hash) {
    route();
  } else if (document.getElementById(id)) {
    unfold(document.getElementById(id));
  }
});

// Paper: what is not built stands there in short.

const shortened = new Map();

function showShort() {
  for (const place of shortened.size ? [] : document.querySelectorAll(".later")) {
    const short = place.querySelector("noscript");
    shortened.set(place, short);
    place.innerHTML = short.textContent;
  }
}

function showAgain() {
  for (const [place, short] of shortened) {
    if (place.classList.contains("later")) {
      place.replaceChildren(short);
    }
  }
  shortened.clear();
}

const paper = window.matchMedia("print");
paper.addEventListener("change", () => (paper.matches ? showShort() : showAgain()));
window.addEventListener("beforeprint", showShort);
window.addEventListener("afterprint", showAgain);

// The papers' tables unfold together.

function addFoldButtons(tables) {
  const first = tables?.querySelector("details");
  for (const [text, wanted] of first ? [["Unfold all tables", true], ["Fold all tables", false]] : []) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "unfold";
    button.textContent = text;
    first.before(button);
    button.addEventListener("click", () => {
      for (const fold of tables.querySelectorAll("details")) {
        fold.open = wanted;
      }
    });
  }
}

// Sorting of tables by a column.

function sortKey(row, column) {
  const cell = row.cells[column];
  if (cell.tagName === "TH") {
    return cell.textContent;
  }
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
}

function compared(x, y) {
  if (x === null || y === null) {
    return 0;
  }
  return typeof x === "string" ? x.localeCompare(y) : x - y;
}

function sort(table, heading) {
  const column = Number(heading.dataset.sort);
  const first = column === 0 ? "ascending" : "descending";
  const other = column === 0 ? "descending" : "ascending";
  const order = heading.getAttribute("aria-sort") === first ? other : first;
  for (const each of table.querySelectorAll("th[data-sort]")) {
    each.removeAttribute("aria-sort");
  }
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: sortKey(row, column) }));
  rows.sort((a, b) => (a.key === null) - (b.key === null) || sign * compared(a.key, b.key));
  table.tBodies[0].append(...rows.map(({ row }) => row));
}

function makeSortable(table) {
  for (const heading of table.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, heading));
  }
}
