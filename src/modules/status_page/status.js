"use strict";
// The status page: reads /api/v1 and draws. Whatever is shown goes through textContent: names and SQL are anybody's.

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

function duration(ms) {
	if (!ms) return "–"; // nothing, or not known
	if (ms < 1) return (ms * 1000).toFixed(0) + " µs";
	if (ms < 1000) return (ms < 10 ? ms.toFixed(2) : ms.toFixed(0)) + " ms";
	const s = ms / 1000;
	if (s < 60) return s.toFixed(1) + " s";
	if (s < 3600) return Math.floor(s / 60) + " min " + Math.floor(s % 60) + " s";
	if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
	return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

// A quantile of a histogram, and that one's last bound.
function quantile(ms, last = 30000) {
	return ms >= last ? "> " + duration(last) : duration(ms);
}

function short(n) {
	if (n >= 1e9) return (n / 1e9).toFixed(1) + " G";
	if (n >= 1e6) return (n / 1e6).toFixed(1) + " M";
	if (n >= 1e4) return (n / 1e3).toFixed(1) + " k";
	return number.format(n);
}

// What stands at the y axis.
function tick(value, chart) {
	return value && chart.unit === "ms" ? duration(value) : short(value);
}

// The smallest 1, 2 or 5 times a power of ten that is not below max.
function ceiling(max) {
	if (!(max > 0)) return 1;
	const ten = 10 ** Math.floor(Math.log10(max));
	return [1, 2, 5, 10].map(n => n * ten).find(n => n >= max);
}

// What a chart draws, as data: the y axis' end, and for each series the points of its line or area, within 0..1.
function layout(samples, series, options = {}) {
	const sums = samples.map(sample => series.map(s => s.of(sample)));
	if (options.stacked)
		for (const row of sums)
			for (let i = 1; i < row.length; i++) row[i] += row[i - 1];
	const top = ceiling(Math.max(options.goal || 0, ...sums.flat()));
	const x = i => samples.length > 1 ? i / (samples.length - 1) : 1;
	return { top, lines: series.map((_, k) => sums.map((row, i) => [x(i), row[k] / top])) };
}

function tiles(status, history) {
	const last = history[history.length - 1] || {};
	const recent = history.slice(-10);
	const mean = name => recent.length ? recent.reduce((sum, s) => sum + s[name], 0) / recent.length : 0;
	const p95 = Math.max(0, ...recent.map(s => s.p95)), failed = mean("failed");
	const refused = Math.round(history.reduce((sum, s) => sum + (s.refused || 0), 0));
	return [
		{ id: "qps", name: "requests/s", value: short(mean("qps")) },
		{ id: "p95", name: "p95, 10 s", value: quantile(p95), level: p95 >= 100 ? "bad" : "" },
		{ id: "p99", name: "p99, 10 s", value: quantile(Math.max(0, ...recent.map(s => s.p99))) },
		{ id: "waiting", name: "waiting now", value: short(status.waiting), level: status.waiting > 0 ? "warn" : "" },
		{ id: "oldest", name: "oldest wait", value: duration(status.oldest_wait_ms),
		  level: status.oldest_wait_ms > 5000 ? "bad" : "" },
		{ id: "errors", name: "errors/s", value: short(mean("errors")) },
		{ id: "failed", name: "failed by pgweir/s", value: short(failed), level: failed > 0 ? "bad" : "" },
		{ id: "refused", name: "logins refused, 5 min", value: short(refused), level: refused > 0 ? "warn" : "" },
		{ id: "clients", name: "clients of " + short(status.clients_limit), value: short(status.clients) },
		{ id: "servers", name: "servers in use of " + short(status.servers_limit), value: short(status.servers_lent) },
		{ id: "lag", name: "event loop lag, p99", value: quantile(last.lag_p99, 1000) },
	];
}

// By their names in the log, the metrics and the console: what they are spent on.
const phases = { wait: "for a server", connect: "opening one", server: "PostgreSQL", stream: "its answer",
		 client_write: "the client", proxy: "pgweir" };
const of = name => sample => sample[name];

const CHARTS = [
	{ id: "latency", title: "Latency", unit: "ms", goal: 100, series: [{ name: "p50", of: of("p50") }, { name: "p95", of: of("p95") },
								     { name: "p99", of: of("p99") }] },
	{ id: "phases", title: "Where the time of finished requests went, per second", unit: "ms", stacked: true,
	  seriesOf: samples => Object.keys((samples[0] || { phases: {} }).phases).map(key => ({ name: `${key}: ${phases[key]}`,
											     of: s => s.phases[key] || 0 })) },
	{ id: "qps", title: "Requests per second", series: [{ name: "requests", of: of("qps") }] },
	{ id: "servers", title: "Servers and waiting clients", series: [
		{ name: "in use", of: of("lent") }, { name: "open", of: of("servers") }, { name: "clients waiting", of: of("waiting") },
		{ name: "overflow", of: of("overflow") }] },
	{ id: "errors", title: "Errors and slow queries per second", series: [
		{ name: "slow", of: of("slow") }, { name: "errors", of: of("errors") }, { name: "failed by pgweir", of: of("failed") }] },
	{ id: "lag", title: "Event loop lag, p99", unit: "ms", series: [{ name: "lag", of: of("lag_p99") }] },
];

const LONG = ["query", "event"], FIRST = ["waiting", "state", ...LONG]; // FIRST: where there is room for little
const SHOWN = 12; // rows of a table before somebody asks for all

const HEADINGS = { state_ms: "for", xact_ms: "transaction", held_ms: "held", use: "in use", cpu_percent: "CPU %", server_percent: "% of PostgreSQL" };

// How a column is headed and shown: ms as durations, numbers that count with separators.
function heading(name) {
	return HEADINGS[name] || name.replace(/_ms$/, "").replaceAll("_", " ");
}

function shown(name, value) {
	if (value === null || value === undefined) return "";
	if (typeof value !== "number" || /(pid|id|port)$/.test(name)) return String(value);
	return name.endsWith("_ms") ? duration(value) : number.format(value);
}

const used = row => row.active / (row.pool_size + row.max_overflow);

// Rows in the order of a column, which by names; as they came if it is undefined. What is not known comes last.
function sorted(rows, by) {
	const of = row => by.name === "use" ? used(row) : row[by.name] ?? null, sign = by && by.down ? -1 : 1;
	const compare = (x, y) => typeof x === "number" && typeof y === "number" ? x - y :
		String(x).localeCompare(String(y), "en", { numeric: true });
	return !by ? rows : [...rows].sort((a, b) => of(a) === null || of(b) === null ? (of(a) === null) - (of(b) === null) :
						     sign * compare(of(a), of(b)));
}

// Every word of the filter is found in some column.
function matches(row, filter) {
	const text = Object.values(row).join(" ").toLowerCase();
	return filter.toLowerCase().split(/\s+/).every(word => text.includes(word));
}

const LONG_WAIT_MS = 1000; // for a server, before the badge says so

// The word on the badge, its colour, and what is wrong. backends, pools: rows of SHOW BACKENDS and POOLS_EXTENDED; waits: those
// of EXPLAIN POOL, the cause and who keeps the servers.
function verdict(status, backends, failed, pools = [], waits = []) {
	if (!status.alive) return { word: "stuck", level: "bad", trouble: status.not_ready };
	const down = backends.filter(b => b.state === "down").map(b => "PostgreSQL at " + b.backend + " is down");
	const lines = pools.filter(p => p.oldest_wait_ms >= LONG_WAIT_MS).map(p => `pool ${p.database}/${p.user}: ` +
		`${p.waiting} waiting, ${p.active} of ${p.pool_size + p.max_overflow} servers in use`);
	if (lines.length) lines.push(...waits.map(row => row.explanation).filter(text => !text.startsWith("It is ")));
	const trouble = status.not_ready.length ? status.not_ready : down.concat(lines);
	if (status.not_ready.length) return { word: status.state === "running" ? "not ready" : status.state, level: "bad", trouble };
	if (failed > 0) return { word: status.state + ", requests fail", level: "warn", trouble };
	if (status.oldest_wait_ms >= LONG_WAIT_MS) return { word: status.state + ", clients wait", level: "warn", trouble };
	return { word: status.state, level: trouble.length || status.state !== "running" ? "warn" : "", trouble };
}
const TABLES = [
	{ id: "pools", title: "Pools", columns: ["database", "user", "use", "pool_size", "max_overflow",
		"overflow_now", "active", "idle", "waiting", "oldest_wait_ms", "pool_timeouts", "worker"], empty: "no pool yet: nobody has logged in" },
	{ id: "backends", title: "PostgreSQL servers", columns: ["backend", "role", "state", "connects", "failures", "last_failure",
		"connect_p50_ms", "connect_p95_ms"], empty: "no connection has been attempted yet" },
	{ id: "budget", title: "Budgets of all pgweir processes", columns: ["hosts", "mode", "state", "budget", "connections", "others",
		"used", "waiting", "share", "members", "peak", "last_error"] }, // without empty: not there without rows
	{ id: "workers", title: "Workers", columns: ["worker", "state", "cpu_percent", "clients", "servers", "tick_age_ms",
		"oldest_note_ms"], empty: "" },
	{ id: "holders", title: "Who holds the servers", columns: ["database", "user", "application_name", "client_id", "state", "state_ms",
		"xact_ms", "held_ms", "waiting", "server_pid", "blocked_by", "blocks", "query"], empty: "no client holds a server" },
	{ id: "queries", title: "Top statements", columns: ["database", "user", "calls", "errors", "server_percent", "total_ms", "mean_ms",
		"p95_ms", "wait_ms", "connect_ms", "server_ms", "stream_ms", "client_write_ms", "rows", "query"], empty: "no statement has been counted yet" },
	{ id: "slow", title: "Slow queries", columns: ["time", "event", "duration_ms", "cause", "database", "user", "application_name",
		"sqlstate", "query"], empty: "no request was slow or failed" },
	{ id: "events", title: "Events", columns: ["time", "level", "event"], empty: "nothing was logged" },
];

if (typeof document === "undefined") {
	module.exports = { duration, short, tick, ceiling, layout, tiles, heading, shown, sorted, matches, verdict, CHARTS, TABLES };
} else {
	const SVG = "http://www.w3.org/2000/svg";
	const byId = id => document.getElementById(id);

	function make(parent, tag, text, attributes = {}, space) {
		const element = space ? document.createElementNS(space, tag) : document.createElement(tag);
		if (text !== null) element.textContent = text;
		for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
		parent.appendChild(element);
		return element;
	}

	function card(parent, id, title) {
		const found = byId(id);
		if (found) {
			while (found.children.length > 1) found.lastChild.remove();
			return found;
		}
		const made = make(parent, "article", null, { class: "card", id, "data-testid": id });
		make(made, "h2", title);
		return made;
	}

	function drawChart(chart, samples) {
		const to = card(byId("charts"), "chart-" + chart.id, chart.title);
		const series = chart.series || chart.seriesOf(samples);
		const { top, lines } = layout(samples, series, chart);
		const [width, height] = [600, 150];
		const svg = make(to, "svg", null, { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img",
						    "aria-label": chart.title }, SVG);
		const y = v => (height - 4 - v * (height - 18)).toFixed(1);
		const points = line => line.map(([a, b]) => (a * width).toFixed(1) + "," + y(b)).join(" ");
		const labels = make(to, "div", null, { class: "axis" });
		for (const v of [1, 0.5, 0]) make(labels, "span", tick(top * v, chart));
		const times = make(to, "div", null, { class: "times" });
		for (const ago of [1, 0.5, 0]) make(times, "span", ago ? duration(samples.length * 1000 * ago) + " ago" : "now");
		for (const v of [0, 0.5, 1]) make(svg, "line", null, { class: "grid", x1: 0, x2: width, y1: y(v), y2: y(v) }, SVG);
		if (chart.stacked)
			for (let k = lines.length - 1; k >= 0; k--)
				make(svg, "polygon", null, { class: "f" + k, points: `0,${y(0)} ${points(lines[k])} ${width},${y(0)}` }, SVG);
		else
			lines.forEach((line, k) => make(svg, "polyline", null, { class: "s s" + k, points: points(line) }, SVG));
		if (chart.goal) make(svg, "line", null, { class: "goal", x1: 0, x2: width, y1: y(chart.goal / top), y2: y(chart.goal / top) }, SVG);
		const legend = make(to, "div", null, { class: "legend" });
		if (chart.goal) make(make(legend, "span", null), "i", "", { class: "kgoal" }).after("goal: " + duration(chart.goal));
		series.forEach((s, k) => {
			const sign = make(legend, "span", s.name), line = make(sign, "svg", null, { viewBox: "0 0 24 8" }, SVG);
			sign.prepend(line);
			make(line, chart.stacked ? "rect" : "path", null, chart.stacked ? { class: "f" + k, width: 24, height: 8 } :
				{ class: "s s" + k, d: "M0 4H24" }, SVG);
		});
	}

	function drawTiles(list) {
		const to = byId("tiles");
		to.replaceChildren();
		for (const tile of list) {
			const made = make(to, "div", null, { class: "card tile " + (tile.level || ""), "data-testid": "tile-" + tile.id });
			make(made, "b", tile.value);
			make(made, "span", tile.name);
		}
	}

	function cell(row, name, value, table) {
		const label = { "data-label": heading(name) };
		if (name === "use") {
			const max = row.pool_size + row.max_overflow;
			make(make(table, "td", null, label), "progress", null, { max, value: row.active, title: `${row.active} of ${max}`,
									  "aria-label": `${row.active} of ${max} servers in use` });
		} else
			make(table, "td", shown(name, value), { ...label, class: (typeof value === "number" ? "n" : LONG.includes(name) ? "sql" : "") +
									    (FIRST.includes(name) ? " first" : "") });
	}

	const drawn = {}, isOpen = {}, latest = {}, order = {}; // order: of a table's rows, see sorted()

	// What did not change, or is being marked by the mouse, is left as it is.
	function drawTable(table, rows) {
		const filter = byId("filter").value.trim();
		const found = sorted(filter ? rows.filter(row => matches(row, filter)) : rows, order[table.id]);
		const count = isOpen[table.id] || filter ? found.length : Math.min(SHOWN, found.length);
		const now = JSON.stringify([count, filter, order[table.id], found]);
		const marked = window.getSelection();
		latest[table.id] = rows;
		if (drawn[table.id] === now) return;
		if (drawn[table.id] && !marked.isCollapsed && byId("table-" + table.id).contains(marked.anchorNode)) return;
		drawn[table.id] = now;
		if (!rows.length && table.empty === undefined) {
			const there = byId("table-" + table.id);
			if (there) there.remove();
			return;
		}
		const focus = document.activeElement.closest(`#table-${table.id} th`) ? document.activeElement.name : null;
		const to = card(byId("tables"), "table-" + table.id, table.title);
		const element = make(to, "table", null);
		make(element, "caption", table.title);
		if (!found.length) {
			make(make(element, "tr", null), "td", filter && rows.length ? "nothing matches" : table.empty, { class: "empty" });
			return;
		}
		const names = (table.columns || Object.keys(rows[0])).filter(name => name === "use" || name in rows[0]);
		const head = make(make(element, "thead", null), "tr", null);
		for (const name of names) {
			const by = order[table.id], isNumber = name === "use" || typeof rows[0][name] === "number";
			const isBy = by !== undefined && by.name === name;
			const button = make(make(head, "th", null, { scope: "col", class: isNumber && name !== "use" ? "n" : "",
								     "aria-sort": !isBy ? "none" : by.down ? "descending" : "ascending" }),
					    "button", heading(name), { type: "button", name });
			button.addEventListener("click", () => {
				order[table.id] = { name, down: isBy ? !by.down : isNumber };
				drawTable(table, latest[table.id]);
			});
			if (focus === name) button.focus();
		}
		const body = make(element, "tbody", null);
		for (const row of found.slice(0, count)) {
			const line = make(body, "tr", null, { class: row.waiting > 0 || row.state === "silent" ? "warn" : "" });
			for (const name of names) cell(row, name, row[name], line);
		}
		if (found.length > SHOWN && !filter) {
			const more = make(to, "button", isOpen[table.id] ? "fewer" : `all ${found.length}`, { type: "button" });
			more.addEventListener("click", () => { isOpen[table.id] = !isOpen[table.id]; drawTable(table, latest[table.id]); });
		}
	}

	function drawHead(status, said) {
		byId("state").textContent = said.word;
		byId("state").className = "badge " + said.level;
		byId("version").textContent = status.version;
		byId("uptime").textContent = "up for " + duration(status.now - status.start_time);
		byId("reload").className = status.last_reload_ok ? "" : "alarm";
		byId("reload").textContent = (status.last_reload_ok ? "configuration of " : "last reload REFUSED; configuration of ") +
			new Date(status.last_reload_time).toISOString().replace("T", " ").slice(0, 19) + " UTC";
	}

	function tell(trouble) {
		byId("trouble").textContent = trouble || "";
		byId("trouble").hidden = !trouble;
	}

	const LIMIT_MS = 5000, OLD_MS = 3500; // until an answer; from when on it is said how old the numbers are

	async function get(name) {
		const answer = await fetch("/api/v1/" + name, { cache: "no-store", signal: AbortSignal.timeout(LIMIT_MS) });
		if (!answer.ok) throw new Error(`${name}: ${answer.status} ${await answer.text()}`);
		return answer.json();
	}

	let isBusy = false, turn = 0, at = 0, failure = ""; // at: when the numbers came; failure: why none came since

	function drawAge() {
		const isOld = at > 0 && (failure !== "" || Date.now() - at > OLD_MS);
		document.body.classList.toggle("old", isOld);
		byId("age").textContent = isOld ? `numbers of ${duration(Date.now() - at)} ago` : "";
		if (!isOld && !failure) return;
		byId("state").textContent = "no answer";
		byId("state").className = "badge bad";
		tell(`pgweir does not answer${failure && ": " + failure}; asked again each second`);
	}

	async function refresh() {
		if (isBusy || document.hidden) return;
		isBusy = true;
		try {
			const [status, history] = await Promise.all([get("status"), get("history")]);
			if (turn++ % 3 === 0)
				for (const table of TABLES) {
					const rows = await get(table.id); // null: a worker does not answer
					if (rows) drawTable(table, rows);
				}
			const failed = history.slice(-10).reduce((sum, sample) => sum + sample.failed, 0);
			const waits = status.oldest_wait_ms >= LONG_WAIT_MS ? await get("waits") || [] : [];
			const said = verdict(status, latest.backends || [], failed, latest.pools, waits);
			drawHead(status, said);
			drawTiles(tiles(status, history));
			for (const chart of CHARTS) drawChart(chart, history);
			tell(said.trouble.join("\n"));
			at = Date.now();
			failure = "";
		} catch (error) {
			failure = String(error.message || error);
		}
		isBusy = false;
		drawAge();
	}
	byId("filter").addEventListener("input", () => TABLES.forEach(table => latest[table.id] && drawTable(table, latest[table.id])));
	refresh();
	setInterval(() => { refresh(); drawAge(); }, 1000);
}
