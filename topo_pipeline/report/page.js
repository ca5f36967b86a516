"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const root = document.documentElement;
  root.classList.add("scripts");

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
  const { charts, timing, compared } = JSON.parse(find("data").textContent);

  // A word of the glossary is explained where it is used.
  const word = find("word");
  document.addEventListener("click", (event) => {
    const term = event.target.closest(".term");
    if (!term || !word.showPopover) return;
    event.preventDefault();
    word.replaceChildren(...find(term.hash.slice(1)).cloneNode(true).childNodes);
    word.showPopover();
    const place = term.getBoundingClientRect();
    word.style.left = `${Math.max(8, Math.min(place.left, innerWidth - word.offsetWidth - 8))}px`;
    word.style.top = `${Math.min(place.bottom + 6, innerHeight - word.offsetHeight - 8)}px`;
  });

  // Charts. Vega is packed in the page. The page's policy allows the unpacked script by its hash.
  const unpacked = (async () => {
    const packed = Uint8Array.from(atob(find("bundle").textContent), (byte) => byte.charCodeAt(0));
    const script = document.createElement("script");
    script.textContent = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    document.head.append(script);
  })();
  // Vega's own interpreter evaluates the expressions, so the policy can forbid eval.
  const options = { renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip: { disableDefaultStyle: true } };
  const AXIS = 50; // the extent of daily_activity's y axis and the padding, in pixels
  const drawn = {};
  const draw = async (name, rows) => {
    if (!charts[name]) return;
    const place = find(`chart-${name}`);
    const stage = document.createElement("div"); // hidden from screen readers, which read the label of `place` instead
    stage.ariaHidden = "true";
    const spec = structuredClone(charts[name]);
    if (rows) spec.data.values = rows;
    for (const view of spec.vconcat ?? []) view.width = Math.max(120, place.clientWidth - AXIS);
    await unpacked;
    drawn[name]?.finalize();
    place.replaceChildren(stage);
    drawn[name] = await vegaEmbed(stage, spec, options);
  };
  let width = innerWidth, waiting;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => draw("daily"), 150);
  });

  // One sequence at a time: the one in the address, else the first.
  const pick = find("pick");
  const articles = [...document.querySelectorAll(".sequence")];
  const show = (at, isOpened) => { // paper has one in full that the reader has opened
    document.querySelector(".picked")?.classList.remove("picked", "opened");
    articles[at].classList.add("picked");
    articles[at].classList.toggle("opened", isOpened);
    pick.selectedIndex = at;
    const rows = timing[at].map(([slot, sends, num, den, rate = null]) => ({ weekday: Math.floor(slot / 24), hour: slot % 24, sends, num, den, rate }));
    find("timing").hidden = !rows.length;
    find("chart-timing").setAttribute("aria-label", articles[at].lastElementChild.textContent);
    return rows.length ? draw("timing", rows) : null;
  };
  const linked = () => articles.findIndex((article) => `#${article.id}` === location.hash);
  addEventListener("hashchange", () => {
    if (linked() < 0) return;
    show(linked(), true);
    find("one-section").scrollIntoView();
    document.querySelector(".picked h3").focus({ preventScroll: true });
  });
  pick.addEventListener("change", () => show(pick.selectedIndex, true));
  find("picker").addEventListener("submit", (event) => event.preventDefault());

  // The list of sequences.
  const board = find("board");
  const rows = [...board.tBodies[0].rows];
  const heads = [...board.tHead.rows[0].cells];
  const number = (value) => value.toLocaleString("en-GB");
  const period = () => find("filters").elements.period.value;
  const labelAt = 0, rateAt = 1;
  const shown = (cell) => cell.querySelector(`.p${period()}`);
  const valueOf = (row, at) => {
    const cell = row.cells[at];
    if (at === labelAt) return cell.querySelector("bdi").textContent;
    if (cell.dataset.value !== undefined) return cell.dataset.value;
    return ((at === rateAt ? shown(cell).querySelector("b") : shown(cell))?.textContent ?? "").replaceAll(",", "");
  };
  const isSolid = (row) => !shown(row.cells[rateAt]).classList.contains("dim");
  const collator = new Intl.Collator(undefined, { numeric: true });
  const sort = (head, ascending) => {
    const at = heads.indexOf(head);
    const compare = (a, b) => at === labelAt ? collator.compare(a, b) : parseFloat(a) - parseFloat(b);
    const sorted = [...rows].sort((a, b) => { // ties stay in the order of the page
      const [x, y] = [valueOf(a, at), valueOf(b, at)];
      if ((x === "") !== (y === "")) return x === "" ? 1 : -1; // unknown values come last in both directions
      if (at === rateAt && isSolid(a) !== isSolid(b)) return isSolid(b) - isSolid(a); // and few contacts after many
      return (ascending ? 1 : -1) * compare(x, y);
    });
    board.tBodies[0].append(...sorted);
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  };
  for (const head of heads.filter((each) => each.dataset.key)) {
    const sorter = document.createElement("button");
    sorter.type = "button";
    sorter.className = "sort";
    head.dataset.title = head.firstChild.textContent.trim(); // paper shows this: browsers leave buttons out of repeated heads
    sorter.append(head.firstChild);
    head.prepend(sorter);
    sorter.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      sort(head, now ? now === "descending" : head.dataset.key === "label"); // numbers start with the largest
    });
  }
  const filters = find("filters");
  const filter = () => {
    const wanted = find("by-name").value.trim().toLocaleLowerCase();
    const status = find("by-status").value;
    let left = 0;
    for (const row of rows) {
      const fits = valueOf(row, labelAt).toLocaleLowerCase().includes(wanted)
        && (!status || row.dataset.status === status)
        && (!find("by-evidence").checked || isSolid(row));
      row.hidden = !fits;
      left += fits;
    }
    find("shown").textContent = left === rows.length ? `${number(left)} sequence${left === 1 ? "" : "s"}` : `${number(left)} of ${number(rows.length)} sequences`;
    find("none-shown").hidden = left > 0;
  };
  filters.addEventListener("input", filter);
  filters.addEventListener("change", (event) => {
    const head = heads.find((each) => each.ariaSort);
    if (event.target.name === "period" && head) sort(head, head.ariaSort === "ascending");
  });
  filters.addEventListener("submit", (event) => event.preventDefault());
  filter();

  // Two sequences compared: the sentences of the pair, put together from their form and the pair's numbers.
  if (compared) {
    const pair = [find("first"), find("second")];
    const names = [...pair[0].options].map((option) => option.textContent);
    const say = (event) => {
      let [first, second] = pair.map((select) => select.selectedIndex);
      if (first === second) { // choose another one for the select that was not changed
        second = first ? 0 : 1;
        pair[event.target === pair[0] ? 1 : 0].selectedIndex = second;
      }
      [first, second] = [first, second].sort((a, b) => a - b); // each pair is there once, in the order of the list
      const [form, ...numbers] = compared.pairs[first * names.length - first * (first + 1) / 2 + second - first - 1].split(" ");
      const said = compared.forms[form].replace(/{(first|second)?}/g, (_, which) => which ? names[which === "first" ? first : second] : numbers.shift());
      find("difference").classList.add("opened"); // on paper too
      find("difference").replaceChildren(...[compared.rates[first], compared.rates[second], ...said.split("\n")].map((text) => {
        const sentence = document.createElement("p");
        sentence.textContent = text;
        return sentence;
      }));
    };
    find("pair").addEventListener("change", say);
    find("pair").addEventListener("submit", (event) => event.preventDefault());
  }

  Promise.all([draw("weekly"), draw("daily"), show(Math.max(0, linked()), linked() >= 0)]).then(() => { root.dataset.ready = ""; });
})();
