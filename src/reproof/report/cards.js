// Cards: what stands behind a number, beside the page. The address names the open card, so that Back closes it.

const panel = document.getElementById("panel");
const panelBody = panel.querySelector(".panel-body");
const panelBack = document.getElementById("panel-back");
const panelCopy = document.getElementById("panel-copy");
const said = document.getElementById("panel-said");
let opener = null;
let visited = [];
let byAddress = false;
let isClosing = false;
let openedFrom = "";

const isCard = (id) => id.startsWith("card-") || id.startsWith("record-");

function rememberOpener(link) {
  if (!panel.open) {
    opener = link;
  }
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Return a card's texts, nested as reproof.report.card_pack has them: a number is a place in the pool.
function expanded(pool, item) {
  if (typeof item === "number") {
    return expanded(pool, pool[item]);
  }
  return typeof item === "string" ? item : item.map((each) => expanded(pool, each));
}

function copyButton(text, of = "") {
  const button = element("button", { type: "button", class: "copy", value: text }, `Copy command${of && `: ${of}`}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    said.textContent = "Copied.";
  });
  return button;
}

// Return the button at a card's head: it copies the card's first command, and says whose it is.
function firstCopy(button) {
  const heading = button.closest("dl").previousElementSibling;
  return copyButton(button.value, heading?.tagName === "H4" ? heading.textContent : "");
}

function factList(facts) {
  const rows = facts.map(([term, text]) => {
    const words = element("dd", {}, ["command", "file"].includes(term) ? element("code", {}, text) : text);
    if (term === "command") {
      words.append(" ", copyButton(text));
    }
    return element("div", {}, element("dt", {}, term), words);
  });
  return element("dl", { class: "facts" }, ...rows);
}

function staleNote(stale) {
  return stale ? [element("p", { class: "stale-note" }, element("b", {}, "Stale:"), ` ${stale}`)] : [];
}

function chainLine(chain) {
  const line = element("p", { class: "chain" }, element("span", {}, "Made from"), " ");
  chain.forEach(([name, record, stale], position) => {
    if (position) {
      line.append(" ", element("span", { "aria-hidden": "true" }, "→"), " ");
    }
    line.append(record ? element("a", { href: `#${record}` }, name) : element("span", {}, `${name} (no record)`));
    if (stale) {
      line.append(" ", element("span", { class: "stale" }, "stale"));
    }
  });
  return line;
}

function runParts([heading, facts, chain, folded]) {
  if (folded) {
    return [element("details", { class: "recipe" }, element("summary", {}, heading), factList(facts))];
  }
  return [
    ...(heading ? [element("h4", {}, heading)] : []),
    factList(facts),
    ...(chain.length ? [chainLine(chain)] : []),
  ];
}

function cardElement([title, ordinal, stale, reason, facts, runs]) {
  const number = element("span", { class: "ordinal" }, `card ${ordinal}`);
  const why = reason ? [element("p", {}, element("b", {}, `${reason[0].toUpperCase()}${reason.slice(1)}.`))] : [];
  return element(
    "article",
    { class: "card" },
    element("h3", {}, title, " ", number),
    ...staleNote(stale),
    ...why,
    ...(facts.length ? [factList(facts)] : []),
    ...runs.flatMap(runParts),
  );
}

function fileList(heading, items) {
  return items.length ? [element("h4", {}, heading), element("ul", { class: "files" }, ...items)] : [];
}

function recordElement([paths, stale, facts, files, inputs]) {
  const names = paths.flatMap((path) => [element("code", {}, path), document.createElement("br")]).slice(0, -1);
  const written = files.map(([name, text]) => element("li", {}, element("code", {}, name), ` ${text}`));
  const used = inputs.map(([name, digest, record]) => {
    const code = element("code", {}, name);
    const shown = record ? element("a", { href: `#${record}` }, code) : code;
    return element("li", {}, shown, ` SHA-256 ${digest}`);
  });
  return element(
    "article",
    { class: "card record" },
    element("h3", {}, ...names),
    ...staleNote(stale),
    factList(facts),
    ...fileList("Files it wrote", written),
    ...fileList("Files it read", used),
  );
}

// Return what a card's links lead to, for tools that look for it: the record itself is built when it is asked for.
function targets(card) {
  const ids = new Set([...card.querySelectorAll("a")].map((link) => decodeURIComponent(link.hash.slice(1))));
  return [...ids].map((id) => element("span", { id, hidden: "" }));
}

async function showCard(id) {
  const { pool, cards, records } = await unpack("cards");
  const packedCard = cards[id] ?? records[id];
  if (packedCard === undefined || addressed() !== id) {
    return;
  }
  if (visited.at(-2) === id) {
    visited.pop();
  } else if (visited.at(-1) !== id) {
    visited.push(id);
  }
  const content = expanded(pool, packedCard);
  const card = id in cards ? cardElement(content) : recordElement(content);
  panelBody.replaceChildren(card, ...targets(card));
  panelBack.hidden = visited.length < 2;
  panelCopy.replaceChildren(...[...card.querySelectorAll(".copy")].slice(0, 1).map(firstCopy));
  said.textContent = "";
  panel.setAttribute("aria-label", card.querySelector("h3").textContent.trim());
  if (!panel.open) {
    panel.showModal();
  }
  panelBody.scrollTop = 0;
  panelBody.focus();
}

// Close the card that is open because the address names it no longer; say whether there was one.
function leaveCards() {
  const left = panel.open || isClosing;
  isClosing = false;
  visited = [];
  panel.close();
  opener?.focus({ preventScroll: true });
  opener = null;
  return left;
}

// Closed by hand: go back to the address from before the first card.
panel.addEventListener("close", () => {
  panelBody.replaceChildren();
  opener?.focus({ preventScroll: true });
  if (isCard(addressed())) {
    if (byAddress) {
      history.replaceState(null, "", location.pathname + location.search);
    } else {
      isClosing = true;
      history.go(-visited.length);
    }
    visited = [];
  }
  byAddress = false;
});

panelBack.addEventListener("click", () => history.back());
document.getElementById("panel-close").addEventListener("click", () => panel.close());
panel.addEventListener("click", (event) => {
  if (event.target === panel) {
    panel.close();
  }
});
