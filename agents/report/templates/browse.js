"use strict";
// Sorts the table by the heading that is clicked: numbers as numbers, empty cells last, a second click the other way round.
(() => {
  const table = document.getElementById("runs");
  if (!table) return;
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [first, second] = [value(a), value(b)];
        if (first === "" || second === "") return (first === "") - (second === "");
        const order = isNaN(first) || isNaN(second) ? first.localeCompare(second, undefined, { numeric: true }) : first - second;
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    });
  });
})();
