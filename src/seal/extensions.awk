# src/seal/extensions.awk - makes of extensions.tsv the SQL with which both questions of database_code.h begin.
BEGIN {
	FS = "\t"
	n = split("settings 1 temporary_objects 2 advisory_locks 4 cursors 8 prepared_statements 16 listen 32 sequences 64 random_seed 128 " \
		"remote_sessions 512 text 2303 backend 256 points 67108864 named 32768 wanted 134217728 undoes 268435456 inserts 0", words, " ")
	for (i = 1; i < n; i += 2)
		bits[words[i]] = words[i + 1]
}
/^#/ { next }
{
	names = names "," $1
	count = split($4, items, " ")
	is_wrong = NF != (count > 0 ? 5 : 4)
	for (i = 1; i <= count; i++) {
		split(items[i], item, "=")
		n = split(item[2], parts, "+")
		is_wrong = is_wrong || n == 0
		for (sum = 0; n > 0; sum += bits[parts[n--]])
			is_wrong = is_wrong || !(parts[n] in bits)
		rows = rows ", ('" $1 "', '{" item[1] "}', " sum ")"
	}
}
is_wrong { print "extensions.tsv:" NR ": " $0 > "/dev/stderr"; exit 1 }
END {
	print "WITH /* pgweir */ RECURSIVE known(names) AS (SELECT '{" substr(names, 2) "}'::name[]),"
	print "leaves(extname, functions, parts) AS (SELECT n, f::text[], p FROM (VALUES " substr(rows, 3) ") AS l(n, f, p)),"
}
