"use strict";
// Draws the report from the JSON in #data. Charts: Observable Plot (the global Plot) on d3.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = id => document.getElementById(id);

  // ---- words and colours -------------------------------------------------------------------------------------------

  const isNumber = value => typeof value === "number" && Number.isFinite(value);
  const fixed = (value, digits) => isNumber(value) ? value.toFixed(digits) : "–";
  const brief = value => isNumber(value) ? d3.format(value >= 1000 ? ".3s" : ".3~g")(value) : "–";

  const palette = [...d3.schemeTableau10, ...d3.schemeDark2, ...d3.schemeSet2];
  const colour = index =>
    data.groups.length <= palette.length ? palette[index] : d3.interpolateSinebow(index / data.groups.length);
  const groupNames = data.groups.map(group => group.name);
  const groupColours = { type: "categorical", domain: groupNames, range: groupNames.map((_, index) => colour(index)) };

  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  // ---- heading and problems ----------------------------------------------------------------------------------------

  const finished = data.cells.filter(cell => cell.measures);

  function writeHeading() {
    const failed = data.cells.filter(cell => cell.error).length;
    const waiting = data.cells.length - finished.length - failed;
    document.title = `${data.name}: ablation`;
    at("name").textContent = data.name;
    const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
    at("summary").textContent = `${counted(data.groups.length, "group")}, ${finished.length} of ${counted(data.cells.length, "cell")} finished`
      + (failed ? `, ${failed} failed` : "") + (data.refused.length ? `, ${data.refused.length} refused` : "") + (waiting ? `, ${waiting} not run` : "");
    at("version").textContent = data.version;
  }

  function writeList(id, texts) {
    at(id).querySelector("ul").replaceChildren(...texts.map(text => element("li", {}, text)));
    at(id).hidden = texts.length === 0;
  }

  function writeProblems() {
    writeList("problems", data.cells.filter(cell => cell.error).map(cell => `${cell.name}: ${cell.error}`));
    writeList("refused", data.refused.map(cell => `${cell.name}: ${cell.reason}`));
    at("refused").querySelector("summary").textContent = `${data.refused.length} combinations that no run can have`;
    const warnings = data.cells.flatMap(cell => (cell.warnings ?? []).map(text => `${cell.name}: ${text}`));
    writeList("warnings", warnings);
    at("warnings").querySelector("summary").textContent = `${warnings.length} warnings during training`;
  }

  // ---- table -------------------------------------------------------------------------------------------------------

  const columns = [
    { name: "accuracy", title: "accuracy", digits: 4 },
    { name: "load_max_over_mean", title: "load max/mean (1)", digits: 2, sameForAll: true },
    { name: "load_entropy_nats", title: "load entropy", digits: 3 },
    { name: "dead_experts", title: "dead experts (0)", digits: 1, sameForAll: true },
    { name: "dropped_share", title: "dropped share (0)", digits: 3 },
  ];

  const losses = group => Object.entries(group.measures).filter(([name]) => name.startsWith("loss_"));

  /** "switch 1.030 ± 0.010 (1)", in parts that the style tells apart. */
  function numberWithSpread(measure, digits, { before = "", ideal = true } = {}) {
    if (!measure || !isNumber(measure.mean)) return "–";
    const made = element("div", {}, before + fixed(measure.mean, digits));
    if (measure.count > 1)
      made.append(element("span", { className: "spread" }, ` ± ${fixed(measure.deviation, digits)}`));
    if (ideal && isNumber(measure.at_balance))
      made.append(element("span", { className: "ideal" }, ` (${brief(measure.at_balance)})`));
    return made;
  }

  const hidden = new Set(); // groups that the charts leave out

  function groupCell(group, index) {
    const swatch = element("button", { type: "button", className: "swatch", ariaPressed: !hidden.has(group) });
    swatch.ariaLabel = `show ${group.name} in the charts`;
    swatch.style.background = swatch.style.borderColor = colour(index);
    swatch.addEventListener("click", () => {
      if (!hidden.delete(group)) hidden.add(group);
      swatch.ariaPressed = !hidden.has(group);
      drawGroups();
    });
    return element("span", {}, swatch, group.name);
  }

  function lossesCell(group) {
    const lines = losses(group).map(([name, measure]) => numberWithSpread(measure, 3, { before: `${name.slice(5)} ` }));
    return lines.length ? element("div", {}, ...lines) : "–";
  }

  // `of`: what a column is sorted by.
  const table = [
    { title: "group", of: group => group.name, cell: groupCell },
    { title: "seeds", of: group => group.finished, cell: group => `${group.finished}/${group.cells.length}` },
    ...columns.map(column => ({
      title: column.title,
      of: group => group.measures[column.name]?.mean,
      cell: group => numberWithSpread(group.measures[column.name], column.digits, { ideal: !column.sameForAll }),
    })),
    { title: "losses (at balance)", of: group => losses(group)[0]?.[1].mean, cell: lossesCell },
    {
      title: "samples/s",
      of: group => group.measures.samples_per_second?.mean,
      cell: group => brief(group.measures.samples_per_second?.mean),
    },
  ];

  const order = { column: -1, descending: false };

  function sortedGroups() {
    const rows = data.groups.map((group, index) => ({ group, index, key: table[order.column]?.of(group) }));
    if (order.column < 0) return rows;
    const missing = row => row.key === undefined || row.key === null;
    const compare = order.descending ? d3.descending : d3.ascending;
    return rows.sort((a, b) => missing(a) - missing(b) || compare(a.key, b.key));
  }

  function headingOf(column, index) {
    const button = element("button", { type: "button" }, column.title);
    button.addEventListener("click", () => {
      order.descending = order.column === index ? !order.descending : index > 0;
      order.column = index;
      writeTable();
    });
    const heading = element("th", { scope: "col" }, button);
    if (order.column === index) heading.ariaSort = order.descending ? "descending" : "ascending";
    return heading;
  }

  function writeTable() {
    at("results").tHead.replaceChildren(element("tr", {}, ...table.map(headingOf)));
    at("results").tBodies[0].replaceChildren(...sortedGroups().map(({ group, index }) =>
      element("tr", {}, ...table.map(column => element("td", {}, column.cell(group, index))))));
  }

  // ---- charts of all groups ----------------------------------------------------------------------------------------

  function draw(id, options) {
    const width = Math.max(320, at(id).clientWidth);
    at(id).replaceChildren(Plot.plot({ width, style: { background: "transparent", fontSize: "12px" }, ...options }));
  }

  const labelsMax = 20; // more names than these would fill a chart
  const labelHeight = 13;
  const labelMax = 40;
  const cut = (text, length) => text.length > length ? `${text.slice(0, length - 1)}…` : text;
  const axes = [...new Set(data.groups.flatMap(group => Object.keys(group.labels)))];
  const differing = axes.filter(axis => new Set(data.groups.map(group => group.labels[axis])).size > 1);

  /** What tells a group apart in a chart: its values on the axes that differ, each cut if they are too long together. */
  function shortName({ name, labels }) {
    const told = differing.filter(axis => axis in labels);
    const values = told.map(axis => labels[axis]);
    if (told.length < 2) return cut(told.length ? `${told[0]} ${values[0]}` : name, labelMax);
    const separator = " · ";
    const tooLong = values.join(separator).length > labelMax;
    const each = Math.max(6, Math.floor((labelMax - separator.length * (values.length - 1)) / values.length));
    return values.map(value => tooLong ? cut(value, each) : value).join(separator);
  }

  const labels = new Map(data.groups.map(group => [group.name, shortName(group)]));
  const labelOf = name => labels.get(name);
  const labelWidth = name => 12 + 6.4 * labelOf(name).length;
  const roomForLabels = d3.max(groupNames, labelWidth) ?? 0;

  /** Moves texts down, or up from the bottom, until none covers another: the tops, in pixels. */
  function spreadOut(lefts, tops, widths, bottom) {
    const beside = (one, other) => lefts[one] < lefts[other] + widths[other] && lefts[other] < lefts[one] + widths[one];
    const move = (order, by) => {
      const placed = [];
      for (const each of order) {
        const covered = other => beside(each, other) && Math.abs(tops[each] - tops[other]) < labelHeight - .01;
        for (let other; (other = placed.find(covered)) !== undefined;) tops[each] = tops[other] + by * labelHeight;
        placed.push(each);
      }
    };
    const downwards = () => d3.sort(d3.range(tops.length), index => tops[index]);
    move(downwards(), 1);
    const upwards = downwards().reverse();
    tops.forEach((top, index) => tops[index] = Math.min(top, bottom));
    move(upwards, -1);
    return tops;
  }

  /** The group names beside points, none covering another. */
  function apart(options) {
    const named = { ...options, text: row => labelOf(row.group), textAnchor: "start" };
    return Plot.initializer(named, (rows, facets, { x, y }, scales, { height, marginBottom }) => {
      const pixels = (channel, scale) => Array.from(channel.value, each => scale(each));
      const widths = rows.map(row => labelWidth(row.group));
      const value = spreadOut(pixels(x, scales.x), pixels(y, scales.y), widths, height - marginBottom);
      return { data: rows, facets, channels: { y: { value } } };
    });
  }

  function balanceOf(group) {
    const { accuracy, load_max_over_mean: load } = group.measures;
    const spread = measure => isNumber(measure.deviation) ? measure.deviation : 0;
    return {
      group: group.name,
      accuracy: accuracy.mean,
      load: load.mean,
      low: accuracy.mean - spread(accuracy),
      high: accuracy.mean + spread(accuracy),
      left: Math.max(1, load.mean - spread(load)),
      right: load.mean + spread(load),
    };
  }

  function drawBalance() {
    const groups = data.groups.filter(group => group.finished > 0 && !hidden.has(group));
    const means = groups.map(balanceOf);
    const cells = groups.flatMap(group => group.cells.map(index => data.cells[index]).filter(cell => cell.measures)
      .map(({ measures }) => ({ group: group.name, accuracy: measures.accuracy, load: measures.load_max_over_mean })));
    const place = { x: "load", y: "accuracy" };
    draw("balance", {
      height: 460, marginLeft: 60, marginRight: roomForLabels, marginBottom: 40, inset: 14, grid: true, color: groupColours,
      ariaLabel: "Test accuracy over load max/mean",
      x: { type: "log", label: "load max/mean", ticks: 6, tickFormat: "~g" },
      y: { label: "test accuracy" },
      marks: [
        Plot.ruleX([1], { strokeDasharray: "3 3", strokeOpacity: .6 }),
        Plot.ruleX(means, { x: "load", y1: "low", y2: "high", stroke: "group" }),
        Plot.ruleY(means, { y: "accuracy", x1: "left", x2: "right", stroke: "group" }),
        Plot.dot(cells, { ...place, fill: "group", r: 2, fillOpacity: .6 }),
        Plot.dot(means, { ...place, fill: "group", r: 5, tip: true }),
        means.length <= labelsMax ? Plot.text(means, apart({
          ...place, dx: 8, dy: -8, fill: "currentColor", stroke: "var(--surface)",
        })) : null,
      ],
    });
  }

  const maxOverMean = rows => d3.sum(rows) > 0 ? d3.max(rows) / d3.mean(rows) : NaN;

  /** Points (step, mean of max/mean over the seeds) of a group. */
  function loadOverTime(group) {
    const series = group.cells.map(index => data.cells[index].load).filter(Boolean);
    const longest = d3.greatest(series, each => each.steps.length);
    return (longest?.steps ?? []).map((step, span) => ({
      group: group.name, step, load: d3.mean(series, each => each.rows[span] ? maxOverMean(each.rows[span]) : NaN),
    }));
  }

  function drawOverTime() {
    const lines = data.groups.filter(group => !hidden.has(group)).map(loadOverTime).filter(points => points.length > 0);
    const place = { x: "step", y: "load" };
    draw("over-time", {
      height: 400, marginLeft: 60, marginRight: roomForLabels, marginBottom: 40, grid: true, color: groupColours,
      ariaLabel: "Load max/mean over training steps",
      x: { label: "training step" },
      y: { type: "log", label: "load max/mean", ticks: 6, tickFormat: "~g" },
      marks: [
        Plot.ruleY([1], { strokeDasharray: "3 3", strokeOpacity: .6 }),
        Plot.line(lines.flat(), { ...place, z: "group", stroke: "group", strokeWidth: 1.75, tip: true }),
        lines.length <= labelsMax ? Plot.text(lines.map(points => points.at(-1)), apart({ ...place, dx: 6, fill: "group" })) : null,
      ],
    });
  }


  // ---- one cell ----------------------------------------------------------------------------------------------------

  function fillSelect() {
    at("cell").replaceChildren(...data.cells.flatMap((cell, index) =>
      cell.measures ? [element("option", { value: index }, cell.name)] : []));
    at("cell").addEventListener("change", drawCell);
  }

  function drawCell() {
    const cell = data.cells[Number(at("cell").value)];
    drawExpertClass(cell);
    drawExpertLoad(cell);
  }

  function drawExpertClass({ expert_class: rows }) {
    const visits = rows.length ? d3.transpose(rows).map(of => d3.sum(of)) : [];
    const entries = rows.flatMap((row, expert) => row.map((count, label) =>
      ({ expert, class: label, rows: count, share: visits[label] ? count / visits[label] : 0 })));
    const few = rows.length <= 32;
    draw("expert-class", {
      height: 60 + rows.length * (few ? 26 : 8), marginLeft: 60, marginTop: 40, ariaLabel: "Share of each class by expert",
      x: { label: "class", type: "band", axis: "top", tickSize: 0 },
      y: { label: "expert", type: "band", tickSize: 0, tickFormat: expert => few || expert % 8 === 0 ? `${expert}` : "" },
      color: {
        scheme: matchMedia("(prefers-color-scheme: dark)").matches ? "viridis" : "blues",
        domain: [0, d3.max(entries, each => each.share) || 1], label: "share of the class's visits", legend: true,
        tickFormat: ".0%",
      },
      marks: [Plot.cell(entries, {
        x: "class", y: "expert", fill: "share", inset: .5, channels: { rows: "rows" }, tip: { format: { fill: ".1%" } },
      })],
    });
  }

  function drawExpertLoad({ load }) {
    const experts = load.rows[0]?.length ?? 0;
    const names = d3.range(experts).map(String);
    const points = load.steps.flatMap((step, span) => {
      const all = d3.sum(load.rows[span]);
      return load.rows[span].map((rows, expert) => ({ step, expert: names[expert], share: all ? rows / all : 0 }));
    });
    draw("expert-load", {
      height: 320, marginLeft: 60, marginBottom: 40, ariaLabel: "Share of the rows of each expert over training steps",
      x: { label: "training step" },
      y: { label: "share of the rows", tickFormat: ".0%", domain: [0, 1] },
      color: {
        type: "categorical", legend: experts <= 16, label: "expert", domain: names,
        range: names.map((_, expert) => experts <= 10 ? d3.schemeTableau10[expert] : d3.interpolateSinebow(expert / experts)),
      },
      marks: [Plot.areaY(points, { x: "step", y: "share", z: "expert", fill: "expert", tip: experts <= 32 })],
    });
  }

  // ---- all of it ---------------------------------------------------------------------------------------------------

  function drawGroups() {
    drawBalance();
    drawOverTime();
  }

  function drawCharts() {
    if (finished.length === 0) return;
    drawGroups();
    drawCell();
  }

  writeHeading();
  writeProblems();
  writeTable();
  fillSelect();
  drawCharts();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    drawCharts();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
  document.documentElement.dataset.ready = "true";
})();
