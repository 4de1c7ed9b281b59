# src/seal/extensions.awk - makes of extensions.tsv the SQL with which both questions of database_code.h begin.
BEGIN {
	FS = "\t"
	n = split("settings temporary_objects advisory_locks cursors prepared_statements listen sequences random_seed", parts, " ")
	for (i = 1; i <= n; i++)
		bits[parts[i]] = 2 ^ (i - 1)
	bits["remote_sessions"] = 512
	bits["text"] = 2303
	bits["backend"] = 32768
	bits["points"] = 67108864
}
/^#/ { next }
{
	names = names (names == "" ? "" : ",") $1
	count = split($4, items, " ")
	for (i = 1; i <= count; i++) {
		split(items[i], item, "=")
		sum = 0
		n = split(item[2], parts, "+")
		for (j = 1; j <= n; j++) {
			if (!(parts[j] in bits))
				wrong = wrong "extensions.tsv:" NR ": " items[i] "\n"
			sum += bits[parts[j]]
		}
		rows = rows (rows == "" ? "" : ", ") "('" $1 "', '{" item[1] "}', " sum ")"
	}
}
NF < 4 || NF > 5 || (NF < 5 && $4 != "") { wrong = wrong "extensions.tsv:" NR ": columns\n" }
END {
	printf "%s", wrong > "/dev/stderr"
	print "/* pgweir */ WITH RECURSIVE"
	print "known(names) AS (SELECT '{" names "}'::name[]),"
	print "leaves(extname, functions, parts) AS (VALUES " rows "),"
	exit wrong != ""
}
