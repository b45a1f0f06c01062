"use strict";
// Opens a number's card beside the page, unfolds what a link points into, and sorts tables. Without it, links jump
// to the cards at the end.
(() => {
  const dialog = document.getElementById("panel");
  if (!dialog || typeof dialog.showModal !== "function") {
    return;
  }
  document.documentElement.classList.add("js");
  const body = dialog.querySelector(".panel-body");
  const back = document.getElementById("panel-back");
  const cards = 'a[href^="#card-"], a[href^="#record-"]';
  let opener = null;
  let visited = [];

  function show(id) {
    const source = document.getElementById(id);
    const copy = source.closest("article").cloneNode(true);
    if (source.classList.contains("part")) {
      // Of a card that many claims share, only what is about this one.
      for (const why of copy.querySelectorAll(".why")) {
        for (const part of why.querySelectorAll(".part")) {
          if (part.id !== id) {
            part.remove();
          }
        }
        if (!why.querySelector(".part")) {
          why.remove();
        }
      }
    }
    copy.removeAttribute("id");
    for (const element of copy.querySelectorAll("[id]")) {
      element.removeAttribute("id");
    }
    body.replaceChildren(copy);
    back.hidden = visited.length < 2;
    dialog.setAttribute("aria-label", copy.querySelector("h3").textContent.trim());
    if (!dialog.open) {
      dialog.showModal();
    }
    body.scrollTop = 0;
    body.focus();
  }

  function open(id, from) {
    if (!document.getElementById(id)) {
      return false;
    }
    if (!dialog.open) {
      opener = from;
      visited = [];
    }
    visited.push(id);
    show(id);
    return true;
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest(cards);
    if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) {
      return;
    }
    if (open(decodeURIComponent(link.hash.slice(1)), link)) {
      event.preventDefault();
    }
  });

  back.addEventListener("click", () => {
    visited.pop();
    show(visited[visited.length - 1]);
  });
  document.getElementById("panel-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) {
      dialog.close();
    }
  });
  dialog.addEventListener("close", () => {
    body.replaceChildren();
    if (opener) {
      opener.focus();
    }
    opener = null;
  });

  function reveal(id) {
    const target = document.getElementById(id);
    let folded = false;
    for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) {
      folded = folded || !fold.open;
      fold.open = true;
    }
    return folded ? target : null;
  }

  function openFromAddress() {
    const id = decodeURIComponent(location.hash.slice(1));
    if (id.startsWith("card-") || id.startsWith("record-")) {
      open(id, null);
    } else {
      reveal(id)?.scrollIntoView();
    }
  }
  window.addEventListener("hashchange", openFromAddress);
  openFromAddress();

  document.addEventListener("click", (event) => {
    // Before the browser follows it: a link to the place that the address names already changes no hash.
    const link = event.target.closest('a[href^="#"]');
    if (link && !event.defaultPrevented) {
      reveal(decodeURIComponent(link.hash.slice(1)));
    }
  });

  const folds = () => document.querySelectorAll("main details");
  let before = [];
  window.addEventListener("beforeprint", () => {
    before = [...folds()].filter((fold) => !fold.open);
    for (const fold of before) {
      fold.open = true;
    }
  });
  window.addEventListener("afterprint", () => {
    for (const fold of before) {
      fold.open = false;
    }
    before = [];
  });
  const tables = document.getElementById("tables");
  for (const [text, wanted] of [["Unfold all tables", true], ["Fold all tables", false]]) {
    if (!tables?.querySelector("details")) {
      break;
    }
    const button = document.createElement("button");
    button.type = "button";
    button.className = "unfold";
    button.textContent = text;
    tables.querySelector("details").before(button);
    button.addEventListener("click", () => {
      for (const fold of tables.querySelectorAll("details")) {
        fold.open = wanted || fold.classList.contains("paper-fold");
      }
    });
  }

  function sortKey(row, column) {
    const cell = row.cells[column];
    if (cell.tagName === "TH") {
      return cell.textContent;
    }
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
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
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const [x, y] = [sortKey(a, column), sortKey(b, column)];
      if (x === null || y === null) {
        return (x === null) - (y === null);
      }
      const sign = order === "ascending" ? 1 : -1;
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
    });
    table.tBodies[0].append(...rows);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const heading of table.querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, heading));
    }
  }
})();
