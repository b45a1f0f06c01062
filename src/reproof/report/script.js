"use strict";
// Opens a number's card beside the page, and sorts tables. Without it, links jump to the cards at the end.
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
    const copy = source.cloneNode(true);
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

  function openFromAddress() {
    const id = decodeURIComponent(location.hash.slice(1));
    if (id.startsWith("card-") || id.startsWith("record-")) {
      open(id, null);
    }
  }
  window.addEventListener("hashchange", openFromAddress);
  openFromAddress();

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
