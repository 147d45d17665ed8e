// Draws charts from the tables of the page; without JavaScript the tables show the same data.
"use strict";
(() => {
  const LINE_PX = 26; // height of a horizontal bar, so that its label is readable
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const value = (cell) => (cell.dataset.value === "" ? null : Number(cell.dataset.value));

  const series = (table) => {
    const rows = [...table.tBodies[0].rows];
    const columns = [...table.tHead.rows[0].cells];
    const isLine = table.dataset.chart === "lines";
    return columns.flatMap((column, place) => {
      if (!column.dataset.colour) return []; // Only in the table.
      const ink = colour(`--statistics-${column.dataset.colour}`);
      return [{
        label: column.textContent,
        data: rows.map((row) => value(row.cells[place])),
        backgroundColor: ink,
        borderColor: ink,
        borderWidth: isLine ? 2 : 0,
        pointRadius: rows.length > 40 ? 1 : 3,
        spanGaps: true,
      }];
    });
  };

  const axes = (table) => {
    const ink = colour("--body-fg");
    const grid = colour("--hairline-color");
    const isShare = table.dataset.chart === "shares";
    const isAcross = isShare || table.dataset.chart === "across";
    const isStack = !isShare && table.dataset.chart !== "lines";
    const figures = { beginAtZero: true, max: isShare ? 100 : undefined, stacked: isStack, ticks: { color: ink, precision: isStack ? 0 : undefined }, grid: { color: grid } };
    const names = { stacked: isStack, ticks: { color: ink, autoSkip: !isAcross, maxRotation: 0 }, grid: { display: false } };
    return isAcross ? { x: figures, y: names } : { x: names, y: figures };
  };

  const draw = (table) => {
    const frame = table.closest("section").querySelector(".statistics-drawing");
    const labels = [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim());
    const isShare = table.dataset.chart === "shares";
    const isAcross = isShare || table.dataset.chart === "across";
    frame.hidden = false;
    if (isAcross) frame.style.height = `${labels.length * LINE_PX * (isShare ? 1.4 : 1) + 90}px`;
    return new Chart(frame.querySelector("canvas"), {
      type: table.dataset.chart === "lines" ? "line" : "bar",
      data: { labels, datasets: series(table) },
      options: {
        animation: false,
        maintainAspectRatio: false,
        locale: document.documentElement.lang,
        indexAxis: isAcross ? "y" : "x",
        interaction: { mode: "index", axis: isAcross ? "y" : "x", intersect: false },
        scales: axes(table),
        plugins: { legend: { position: "bottom", labels: { color: colour("--body-fg"), boxWidth: 14 } } },
      },
    });
  };

  let drawings = [];
  const drawAll = () => {
    for (const drawing of drawings) drawing.destroy();
    drawings = [...document.querySelectorAll("table[data-chart]")].map(draw);
  };
  drawAll();
  // Redraw when the admin switches between light and dark.
  new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
