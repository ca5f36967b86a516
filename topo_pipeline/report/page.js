"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const root = document.documentElement;

  // Light or dark: as the reader's system, until the reader chooses.
  const remembered = (value) => {
    try { // some browsers store nothing for a page from disk
      if (value) localStorage.setItem("topo-report-theme", value);
      return localStorage.getItem("topo-report-theme");
    } catch { return null; }
  };
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
  const button = find("theme");
  const showTheme = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`); };
  const before = remembered();
  if (before === "light" || before === "dark") root.dataset.theme = before;
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; remembered(root.dataset.theme); showTheme(); });
  prefersDark.addEventListener("change", showTheme);
  showTheme();

  if (!find("data")) { root.dataset.ready = ""; return; }
  const { charts, sequences } = JSON.parse(find("data").textContent);

  // Charts: Vega's own interpreter evaluates their expressions, so the page's policy can forbid eval.
  const options = { renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip: { disableDefaultStyle: true } };
  const AXIS = 50; // charts.AXIS_WIDTH and the padding, in pixels
  const drawn = {};
  const draw = async (name, rows) => {
    const place = find(`chart-${name}`);
    if (!place) return;
    const stage = document.createElement("div"); // hidden from screen readers, which read the label of `place` instead
    stage.ariaHidden = "true";
    const spec = structuredClone(charts[name]);
    const [data] = Object.keys(spec.datasets);
    if (rows) spec.datasets[data] = rows;
    if (spec.height?.step) spec.height = spec.height.step * spec.datasets[data].length; // Vega-Lite warns of steps
    if (place.clientWidth < 360) spec.config.legend.columns = 2;
    for (const view of spec.vconcat ?? []) view.width = Math.max(120, place.clientWidth - AXIS);
    drawn[name]?.finalize();
    place.replaceChildren(stage);
    drawn[name] = await vegaEmbed(stage, spec, options);
  };
  const ready = Promise.all(["daily", "weekly", "curve", "channels"].map((name) => draw(name)));
  let width = innerWidth, waiting;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => draw("daily"), 150);
  });

  // One sequence.
  const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)}%`);
  const number = (value) => value.toLocaleString("en-GB");
  const fill = (id, rows) => find(id).tBodies[0].replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    cells.forEach((text, at) => {
      const cell = document.createElement(at ? "td" : "th");
      if (!at) cell.scope = "row";
      cell.textContent = text;
      row.append(cell);
    });
    return row;
  }));
  const pick = find("pick");
  const show = async () => {
    const { label, facts, funnel, steps } = sequences[pick.value];
    find("picked").textContent = label;
    find("picked-facts").textContent = facts;
    fill("funnel-table", funnel.map((stage) => [stage.stage, number(stage.runs), percent(stage.share)]));
    fill("steps-table", steps.map((step) => [step.step, ...["runs_reached", "went_on", "exits_replied", "exits_completed", "exits_stopped", "exits_active"].map((of) => number(step[of])), percent(step.rate)]));
    find("no-steps").hidden = steps.length > 0;
    find("chart-steps").hidden = steps.length === 0;
    await Promise.all([draw("funnel", funnel), steps.length ? draw("steps", steps) : null]);
  };
  const options_ = [...pick.options];
  find("find").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLocaleLowerCase();
    const chosen = pick.value;
    pick.replaceChildren(...options_.filter((option) => option.textContent.toLocaleLowerCase().includes(wanted)));
    if (!pick.options.length) return;
    pick.value = chosen;
    if (pick.selectedIndex < 0) pick.selectedIndex = 0;
    if (pick.value !== chosen) show();
  });
  find("picker").addEventListener("submit", (event) => event.preventDefault());
  pick.addEventListener("change", show);

  // The leaderboard.
  const board = find("board");
  const rows = [...board.tBodies[0].rows];
  board.addEventListener("click", (event) => {
    const name = event.target.closest("[data-pick]");
    if (!name) return;
    find("find").value = "";
    pick.replaceChildren(...options_);
    pick.value = name.dataset.pick;
    show();
    find("one").scrollIntoView();
    pick.focus({ preventScroll: true });
  });
  const collator = new Intl.Collator(undefined, { numeric: true });
  const heads = [...board.tHead.rows[0].cells];
  const sort = (head, ascending) => {
    const at = heads.indexOf(head);
    const isText = ["label", "status"].includes(head.dataset.key);
    const value = (row) => row.cells[at].dataset.value;
    const compare = (a, b) => isText ? collator.compare(a, b) : a - b;
    const sorted = [...rows].sort((a, b) => { // ties stay in the order of the ranks
      const [x, y] = [value(a), value(b)];
      if ((x === "") !== (y === "")) return x === "" ? 1 : -1; // unknown values come last in both directions
      return (ascending ? 1 : -1) * compare(x, y);
    });
    board.tBodies[0].append(...sorted);
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  };
  for (const head of heads) {
    const sorter = document.createElement("button");
    sorter.type = "button";
    sorter.className = "sort";
    sorter.append(...head.childNodes);
    head.append(sorter);
    sorter.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      sort(head, now ? now === "descending" : ["rank", "label", "status"].includes(head.dataset.key)); // numbers start with the largest
    });
  }
  const filters = find("filters");
  filters.hidden = rows.length < 2;
  const filter = () => {
    const wanted = find("by-name").value.trim().toLocaleLowerCase();
    const status = find("by-status").value;
    let left = 0;
    for (const row of rows) {
      const fits = row.cells[1].dataset.value.toLocaleLowerCase().includes(wanted)
        && (!status || row.dataset.status === status)
        && (!find("by-evidence").checked || row.dataset.solid === "1");
      row.hidden = !fits;
      left += fits;
    }
    find("shown").textContent = left === rows.length ? `${number(left)} sequences` : `${number(left)} of ${number(rows.length)} sequences`;
    find("none-shown").hidden = left > 0;
  };
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filter();

  Promise.all([ready, show()]).then(() => { root.dataset.ready = ""; });
})();
