"use strict";
/* The explorer of a report. Texts of models and datasets are only ever set as textContent. */
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;

  /** Make an element: `make("p", {class: "hint"}, "text", child)`. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  // Theme: the system's until the reader chooses. A page within a sandboxed frame has no storage.

  function stored(value) {
    try {
      if (value !== undefined) localStorage.setItem("plum-theme", value);
      return localStorage.getItem("plum-theme");
    } catch {
      return null;
    }
  }

  function isDark() {
    const chosen = root.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function setTheme(theme) {
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
    $("theme").textContent = isDark() ? "Light" : "Dark";
  }

  $("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    stored(theme);
    setTheme(theme);
  });
  setTheme(stored());

  // Data: gzip in base64, decoded when it is first needed.

  async function decoded(id) {
    const text = atob($(id).textContent);
    const bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  const chunks = new Map();
  function chunk(number) {
    if (!chunks.has(number)) {
      if (chunks.size > 12) chunks.delete(chunks.keys().next().value); // some megabytes at most
      chunks.set(number, decoded(`chunk-${number}`));
    }
    return chunks.get(number);
  }

  // Python, coloured. Returns lines, each a list of [class, text].

  const KEYWORDS = new Set(
    ("False None True and as assert async await break case class continue def del elif else except finally for from global if " +
      "import in is lambda match nonlocal not or pass raise return try while with yield").split(" "),
  );
  const TOKEN = new RegExp(
    [
      /(#[^\n]*)/, // 1 comment
      /([rbfuRBFU]{0,2}(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\[^]|[^"\\\n])*"?|'(?:\\[^]|[^'\\\n])*'?))/, // 2 string
      /((?:\d[\d_]*\.?[\d_]*(?:[eE][+-]?\d+)?|0[xob][\da-fA-F_]+)j?)/, // 3 number
      /([\p{L}_][\p{L}\p{N}_]*)/, // 4 name
      /(\s+|[^])/, // 5 anything else
    ].map((part) => part.source).join("|"), "gu",
  );

  function pythonLines(code) {
    const lines = [[]];
    let before = "";
    for (const match of code.matchAll(TOKEN)) {
      const text = match[0];
      let kind = match[1] !== undefined ? "c" : match[2] !== undefined ? "s" : match[3] !== undefined ? "n" : "";
      if (match[4] !== undefined) {
        kind = KEYWORDS.has(text) ? "k" : before === "def" || before === "class" ? "f" : "";
        before = text;
      }
      text.split("\n").forEach((part, number) => {
        if (number) lines.push([]);
        if (part) lines[lines.length - 1].push([kind, part]);
      });
    }
    return lines;
  }

  /** Append the tokens of a line; characters within `marks`, a list of [start, end), are emphasised. */
  function appendLine(element, tokens, marks = []) {
    let at = 0;
    for (const [kind, text] of tokens) {
      let from = 0;
      while (from < text.length) {
        const inside = marks.find(([start, end]) => at + from >= start && at + from < end);
        const next = marks.find(([start]) => start > at + from);
        const to = Math.min(text.length, (inside ? inside[1] : next ? next[0] : Infinity) - at);
        const piece = text.slice(from, to);
        const holder = inside ? make("b") : kind ? make("span", { class: kind }) : null;
        if (inside && kind) holder.className = kind;
        element.append(holder ? (holder.append(piece), holder) : piece);
        from = to;
      }
      at += text.length;
    }
  }

  function codeBlock(code, label) {
    const holder = make("code");
    pythonLines(code.replace(/\s+$/, "")).forEach((line, number) => {
      if (number) holder.append("\n");
      appendLine(holder, line);
    });
    return make("pre", { class: "code", tabindex: 0, role: "region", "aria-label": label }, holder);
  }

  // Differences: the longest common subsequence, of lines and then of words.

  /** Return pairs [i, j] of equal items, in order. */
  function common(left, right) {
    let start = 0;
    while (start < left.length && start < right.length && left[start] === right[start]) start++;
    let end = 0;
    while (end < left.length - start && end < right.length - start && left.at(-1 - end) === right.at(-1 - end)) end++;
    const rows = left.length - start - end, columns = right.length - start - end;
    const pairs = Array.from({ length: start }, (_, place) => [place, place]);
    if (rows && columns && rows * columns < 4e6) {
      const width = columns + 1, table = new Uint16Array((rows + 1) * width);
      for (let i = rows - 1; i >= 0; i--)
        for (let j = columns - 1; j >= 0; j--)
          table[i * width + j] = left[start + i] === right[start + j]
            ? table[(i + 1) * width + j + 1] + 1
            : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
      for (let i = 0, j = 0; i < rows && j < columns; ) {
        if (left[start + i] === right[start + j]) pairs.push([start + i++, start + j++]);
        else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) i++;
        else j++;
      }
    }
    for (let place = end; place > 0; place--) pairs.push([left.length - place, right.length - place]);
    return pairs;
  }

  /** Return the changed parts of two lines, as [start, end) of each; none where they have little in common. */
  function changedWords(one, other) {
    const words = (text) => text.match(/\w+|\s+|[^]/g) ?? [];
    const left = words(one), right = words(other), pairs = common(left, right);
    const shared = pairs.reduce((sum, [place]) => sum + left[place].trim().length, 0);
    if (shared < 0.3 * Math.max(one.trim().length, other.trim().length)) return [[], []];
    const marks = (items, kept) => {
      const found = [];
      let at = 0;
      items.forEach((word, place) => {
        if (!kept.has(place)) {
          if (found.length && found.at(-1)[1] === at) found.at(-1)[1] = at + word.length;
          else found.push([at, at + word.length]);
        }
        at += word.length;
      });
      return found;
    };
    return [marks(left, new Set(pairs.map((pair) => pair[0]))), marks(right, new Set(pairs.map((pair) => pair[1])))];
  }

  function diffRows(one, other) {
    const left = one.replace(/\s+$/, "").split("\n"), right = other.replace(/\s+$/, "").split("\n");
    const rows = [];
    let i = 0, j = 0;
    for (const [a, b] of [...common(left, right), [left.length, right.length]]) {
      for (; i < a || j < b; i += i < a ? 1 : 0, j += j < b ? 1 : 0) rows.push([i < a ? i : null, j < b ? j : null, false]);
      if (a < left.length) rows.push([i++, j++, true]);
    }
    return rows.map(([a, b, same]) => {
      const marks = !same && a !== null && b !== null ? changedWords(left[a], right[b]) : [[], []];
      return { left: a, right: b, same, marks };
    });
  }

  function diffView(one, other) {
    const view = make("div", { class: "diff" });
    const title = (sample) => make("div", {}, `#${sample.index} `, verdictBadge(sample));
    view.append(make("div", { class: "pair head" }, title(one), title(other)));
    const left = pythonLines((one.code ?? "").replace(/\s+$/, "")), right = pythonLines((other.code ?? "").replace(/\s+$/, ""));
    const side = (sample) => (sample.label === true || sample.status === "passed" ? "pass" : "fail");
    for (const row of diffRows(one.code ?? "", other.code ?? "")) {
      const cell = (place, lines, sample, marks) => {
        const line = make("pre", { class: place === null ? "empty" : row.same ? "" : side(sample) });
        if (place !== null) appendLine(line, lines[place], marks);
        return line;
      };
      view.append(
        make("div", { class: row.same ? "pair same" : "pair" },
          cell(row.left, left, one, row.marks[0]), cell(row.right, right, other, row.marks[1])),
      );
    }
    return view;
  }

  /** Return the sample whose lines are most like another's. */
  function closest(sample, others) {
    const lines = new Set((sample.code ?? "").split("\n"));
    const score = (other) => {
      const its = new Set((other.code ?? "").split("\n"));
      return [...its].filter((line) => lines.has(line)).length / Math.max(1, lines.size + its.size);
    };
    return others.reduce((best, other) => (score(other) > score(best) ? other : best));
  }

  // What is open

  function verdictBadge(sample) {
    const label = sample.label === true ? "chosen" : sample.label === false ? "rejected" : "";
    const colour = label === "chosen" ? "good-text" : label === "rejected" ? "bad-text" : "";
    const words = [sample.status.replaceAll("_", " ") || "not judged", label || sample.why.replaceAll("_", " ")];
    return make("span", { class: `badge ${colour}` }, [...new Set(words)].filter(Boolean).join(" · "));
  }

  const share = (value) => `${(100 * value).toFixed(value < 1 && value > 0.995 ? 1 : 0)} %`;

  function suiteView(suite) {
    const facts = Object.entries(suite.evidence).map(([name, value]) =>
      make("span", { class: "chip" }, `${name} `, make("b", {}, name === "voters" ? String(value) : share(value))));
    const hasVotes = suite.cases.some((one) => one.vote !== null);
    const head = ["", "given", "expected", ...(hasVotes ? ["votes"] : []), "samples that pass"];
    const rows = suite.cases.map((one, number) =>
      make("tr", {},
        make("td", { class: "number" }, String(number + 1)),
        make("td", {}, make("pre", {}, make("code", {}, one.given ?? ""))),
        make("td", {}, one.expected === null ? make("span", { class: "hint" }, "holds") : make("pre", {}, make("code", {}, one.expected ?? ""))),
        hasVotes ? make("td", { class: "number" }, one.vote === null ? "–" : share(one.vote)) : null,
        make("td", { class: "number" }, one.ran ? `${one.passed} of ${one.ran}` : "–")));
    return make("section", {},
      make("h4", {}, `Test suite: ${suite.cases.length} cases`),
      facts.length ? make("p", { class: "chips" }, ...facts) : make("p", { class: "hint" }, "Its strength was not measured."),
      make("div", { class: "wide" }, make("table", {},
        make("thead", {}, make("tr", {}, ...head.map((name, place) => make("th", { scope: "col", class: place > 2 || !place ? "number" : null }, name)))),
        make("tbody", {}, ...rows))),
      make("details", {}, make("summary", {}, "Starter code and reference solution"),
        make("p", { class: "hint" }, "What the policy was shown, and the solution that came with the tests, which is never training data."),
        codeBlock(suite.starter, "Starter code"), make("p", {}), codeBlock(suite.reference || "# none", "Reference solution")));
  }

  const OUTCOMES = { passed: "passed", wrong: "a wrong value", raised: "raised", timed_out: "timed out", not_run: "did not run" };

  function failingView(sample, suite) {
    if (sample.failing === null || !suite?.cases[sample.failing]) {
      return sample.detail ? make("div", { class: "failing" }, sample.detail) : null;
    }
    const one = suite.cases[sample.failing], outcome = sample.outcomes[sample.failing];
    const line = (name, text) => [make("dt", {}, name), make("dd", {}, make("pre", {}, make("code", {}, text)))];
    return make("div", { class: "failing" },
      make("b", {}, `Case ${sample.failing + 1} of ${suite.cases.length}: ${OUTCOMES[outcome] ?? outcome}`),
      make("dl", {},
        ...line(one.kind === "call" ? "call" : one.kind, one.given ?? ""),
        ...(one.expected === null ? [] : line("expected", one.expected)),
        ...(sample.got ? line(outcome === "raised" ? "raised" : "got", sample.got) : [])));
  }

  function sampleView(sample, suite, twin) {
    const label = sample.label === true ? "chosen" : sample.label === false ? "rejected" : "";
    const dots = sample.outcomes.map((outcome, number) =>
      make("i", { class: outcome, title: `case ${number + 1}: ${OUTCOMES[outcome] ?? outcome}` }));
    const passed = sample.outcomes.filter((outcome) => outcome === "passed").length;
    const text = sample.text.trim(), code = sample.code;
    const more = [];
    if (code === null || text.replace(/```\w*/g, "").trim() !== code.trim())
      more.push(make("details", { open: code === null }, make("summary", {}, "Whole answer"), make("pre", {}, text)));
    if (sample.output) more.push(make("details", {}, make("summary", {}, "What it printed"), make("pre", {}, sample.output)));
    return make("article", { class: `sample ${label}`, "aria-label": `Sample ${sample.index}` },
      make("h5", {}, `#${sample.index}`, verdictBadge(sample),
        sample.cut ? make("span", { class: "badge warn" }, "cut off") : null,
        twin !== undefined ? make("span", { class: "badge" }, `same as #${twin}`) : null),
      dots.length ? make("div", { class: "dots", role: "img", "aria-label": `${passed} of ${dots.length} cases passed` }, ...dots) : null,
      failingView(sample, suite),
      code === null ? make("p", { class: "hint" }, "No program was found in the answer.") : codeBlock(code, `Program of sample ${sample.index}`),
      ...more);
  }

  function comparisonView(samples) {
    const programs = samples.filter((sample) => sample.code !== null);
    const passing = programs.filter((sample) => sample.status === "passed");
    const others = programs.filter((sample) => sample.status !== "passed");
    const first = passing.find((sample) => sample.label) ?? passing[0];
    const rejected = others.filter((sample) => sample.label === false);
    if (!first || !others.length) return null;
    const second = closest(first, rejected.length ? rejected : others);
    const holder = make("div");
    const select = (name, chosen) => make("select", { "aria-label": name, onchange: draw },
      ...programs.map((sample) => make("option", { value: sample.index, selected: sample === chosen ? "" : null },
        `#${sample.index} ${sample.status.replaceAll("_", " ")}`)));
    const left = select("Left sample", first), right = select("Right sample", second);
    function draw() {
      const at = (menu) => programs.find((sample) => String(sample.index) === menu.value);
      holder.replaceChildren(diffView(at(left), at(right)));
    }
    draw();
    return make("section", {}, make("h4", {}, "Chosen beside rejected"), make("p", { class: "pick" }, left, "beside", right), holder);
  }

  function samplesView(entry) {
    const first = new Map(), twins = new Map();
    for (const sample of entry.samples) {
      if (sample.code === null) continue;
      const program = sample.code.trim();
      if (first.has(program)) twins.set(sample, first.get(program));
      else first.set(program, sample.index);
    }
    const kinds = {
      all: () => true,
      chosen: (sample) => sample.label === true,
      rejected: (sample) => sample.label === false,
      "left out": (sample) => sample.label === null,
    };
    const strip = make("div", { class: "samples", tabindex: 0, role: "region", "aria-label": "Samples, side by side" });
    const buttons = [];
    const show = (kind) => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.value === kind));
      strip.replaceChildren(...entry.samples.filter(kinds[kind]).map((sample) => sampleView(sample, entry.suite, twins.get(sample))));
      strip.scrollLeft = 0;
    };
    for (const [kind, test] of Object.entries(kinds)) {
      const count = entry.samples.filter(test).length;
      if (count) buttons.push(make("button", { type: "button", value: kind, onclick: () => show(kind) }, `${kind} ${count}`));
    }
    show("all");
    return make("section", {}, make("h4", {}, "Samples, side by side"), make("p", { class: "pick" }, ...buttons), strip);
  }

  function detailView(row, entry) {
    const drops = entry.drops.map((drop) =>
      make("li", {}, make("b", {}, `${drop.stage}: ${drop.reason.replaceAll("_", " ")}${drop.rows > 1 ? ` (${drop.rows} rows)` : ""}`), ` ${drop.why} `, drop.at ? make("code", {}, drop.at) : null));
    const where = [entry.source, entry.row && `row ${entry.row}`, entry.license && `licence ${entry.license}`].filter(Boolean).join(", ");
    return [
      make("button", { type: "button", class: "back", onclick: backToList }, "Back to the list"),
      make("h3", { tabindex: -1, id: "open" }, `Instruction `, make("code", {}, row[1])),
      make("p", { class: "task" }, row[2]),
      make("p", { class: "hint" }, where),
      entry.suite ? suiteView(entry.suite) : null,
      entry.samples.length ? comparisonView(entry.samples) : null,
      entry.samples.length ? samplesView(entry) : null,
      drops.length ? make("details", { open: entry.suite === null }, make("summary", {}, "Left out"), make("ul", {}, ...drops)) : null,
    ].filter(Boolean);
  }

  // The list

  const HEIGHT = 74; // of a row, as in the style
  let index = null, texts = [], starts = [], shown = [], words = [], selected = -1;

  function backToList() {
    $("list").scrollIntoView({ block: "center" });
    $("list").focus({ preventScroll: true });
  }

  /** Find what matches the search and the filters. */
  function search() {
    words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const build = Number($("build").value), kind = $("filter").value;
    const fits = {
      all: () => true,
      pairs: (row) => row[5] > 0 && row[6] > 0,
      none: (row) => row[3] > 0 && row[4] === 0,
      every: (row) => row[3] > 0 && row[4] === row[3],
      out: (row) => row[3] === 0,
    }[kind];
    const open = shown[selected];
    shown = [];
    for (let place = 0; place < index.rows.length; place++) {
      const row = index.rows[place];
      if ((build < 0 || row[0] === build) && fits(row) && words.every((word) => texts[place].includes(word))) shown.push(place);
    }
    selected = shown.indexOf(open);
    const all = index.rows.length;
    $("count").textContent = shown.length === all
      ? `${all.toLocaleString("en")} instructions`
      : `${shown.length.toLocaleString("en")} of ${all.toLocaleString("en")} instructions`;
    $("rows").style.height = `${shown.length * HEIGHT}px`;
    $("list").scrollTop = Math.max(0, selected) * HEIGHT;
    drawList();
  }

  /** Return a paragraph in which the searched words are marked. */
  function marked(text) {
    const first = words.length ? Math.min(...words.map((word) => text.toLowerCase().indexOf(word)).filter((at) => at >= 0), text.length) : 0;
    const from = first > 80 && first < text.length ? first - 40 : 0;
    const piece = (from ? "…" : "") + text.slice(from, from + 220).replace(/\s+/g, " ");
    const paragraph = make("p");
    const lower = piece.toLowerCase();
    let at = 0;
    while (at < piece.length) {
      let best = piece.length, length = 0;
      for (const word of words) {
        const found = lower.indexOf(word, at);
        if (found >= 0 && found < best) [best, length] = [found, word.length];
      }
      paragraph.append(piece.slice(at, best));
      if (length) paragraph.append(make("mark", {}, piece.slice(best, best + length)));
      at = best + length;
    }
    return paragraph;
  }

  function rowView(number) {
    const row = index.rows[shown[number]];
    const [, , text, samples, passed, chosen, rejected, why] = row;
    const words = samples ? `${passed} of ${samples} pass · ${chosen} chosen, ${rejected} rejected` : why ? `left out: ${why.replaceAll("_", " ")}` : "no samples";
    const element = make("div", {
      class: "row", role: "option", id: `row-${number}`, "aria-selected": String(number === selected),
      "aria-posinset": number + 1, "aria-setsize": shown.length, onclick: () => { select(number); open(); },
    }, marked(text), make("div", {}, words));
    element.style.top = `${number * HEIGHT}px`;
    return element;
  }

  /** Draw the rows that can be seen, and some around them. */
  function drawList() {
    const list = $("list"), first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 4);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + 4);
    $("rows").replaceChildren(...Array.from({ length: Math.max(0, last - first) }, (_, place) => rowView(first + place)));
    if (selected >= first && selected < last) list.setAttribute("aria-activedescendant", `row-${selected}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function select(number) {
    if (!shown.length) return;
    selected = Math.max(0, Math.min(shown.length - 1, number));
    const list = $("list"), top = selected * HEIGHT;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + HEIGHT - list.clientHeight;
    drawList();
    return show(shown[selected]);
  }

  /** Let the address name what is open, so that it can be passed on. */
  function setAddress(address) {
    try {
      history.replaceState(null, "", address);
    } catch {
      // a page within a sandboxed frame may not change its address
    }
  }

  let asked = 0;
  async function show(place) {
    const ticket = ++asked, row = index.rows[place];
    let number = 0;
    while (number + 1 < starts.length && starts[number + 1] <= place) number++;
    const entry = (await chunk(number))[place - starts[number]];
    if (ticket !== asked) return; // another one was chosen meanwhile
    $("detail").replaceChildren(...detailView(row, entry));
    setAddress(`#i=${row[1]}`);
  }

  /** Move to what is selected, once it is there. */
  function open() {
    if (selected < 0) return;
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const title = $("open");
      title?.focus({ preventScroll: true });
      if (matchMedia("(max-width: 60rem)").matches) $("detail").scrollIntoView();
    }));
  }

  // Keys

  const MOVES = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };

  document.addEventListener("keydown", (event) => {
    if (!index || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target, typing = target.matches("input, select, textarea"), inList = target === $("list");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      $("search").focus();
      $("search").select();
    } else if (target === $("search") && (event.key === "ArrowDown" || event.key === "Enter")) {
      event.preventDefault();
      $("list").focus();
      select(Math.max(0, selected));
    } else if (event.key === "Escape" && $("detail").contains(target)) {
      backToList();
    } else if (!typing && (inList ? event.key in MOVES : event.key === "j" || event.key === "k")) {
      event.preventDefault();
      if (!inList) $("list").focus();
      const move = MOVES[event.key];
      select(Number.isFinite(move) ? selected + move : move < 0 ? 0 : shown.length - 1);
    } else if (inList && event.key === "Enter") {
      event.preventDefault();
      if (selected < 0) select(0);
      open();
    }
  });

  async function start() {
    if (typeof DecompressionStream === "undefined") {
      $("count").textContent = "This browser cannot decompress the rows; open the page in one of 2023 or later.";
      return;
    }
    index = await decoded("index");
    texts = index.rows.map((row) => `${row[2]}\n${row[1]}`.toLowerCase());
    let place = 0;
    starts = index.sizes.map((size) => (place += size) - size);
    if (index.builds.length > 1) {
      index.builds.forEach((name, number) => $("build").append(make("option", { value: number }, name)));
      $("build").hidden = false;
    }
    search();
    $("search").addEventListener("input", search);
    $("filter").addEventListener("change", search);
    $("build").addEventListener("change", search);
    $("list").addEventListener("scroll", drawList, { passive: true });
    addEventListener("resize", drawList);
    const wanted = /^#i=(.+)$/.exec(location.hash)?.[1];
    const found = wanted ? index.rows.findIndex((row) => row[1] === wanted) : -1;
    const both = index.rows.findIndex((row) => row[5] > 0 && row[6] > 0);
    if (found >= 0) {
      await select(found);
      $("explorer").scrollIntoView();
    } else {
      const hash = location.hash;
      await select(Math.max(0, both));
      setAddress(hash || location.href.split("#")[0]);
    }
    root.dataset.ready = "yes";
  }

  if ($("index")) start();
  else root.dataset.ready = "yes";
})();
