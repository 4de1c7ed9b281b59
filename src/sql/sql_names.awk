# src/sql/sql_names.awk - makes of sql_names.tsv what sql_words.c includes: the words of one length are one string.
BEGIN { FS = "\t" }
/^#/ { next }
length($1) != len { printf "%sNAMES(%d, \"", (len ? "\")\n" : ""), length($1); len = length($1); separator = "" }
{ printf "%s%s%s", separator, $2, $1; separator = " \"\n\t\"" }
END { print "\")" }
