/* tests/unit/test_plain_request.c - which requests may go ahead of their turn, by their messages. */
#include "pipeline/plain_request.h"

#include "wire/ledger.h"
#include "unit.h"

#define BIND "B\0\0\0\014\0\0\0\0\0\0\0\0"
#define BIND_S "B\0\0\0\015\0s\0\0\0\0\0\0\0"
#define EXECUTE "E\0\0\0\011\0\0\0\0\0"
#define SYNC "S\0\0\0\4"
#define PARSE "P\0\0\0\013\0a b\0\0\0"
#define DESCRIBE "D\0\0\0\6P\0"

static const struct {
	const char *rule, *bytes;
	size_t len;
	const char *sql, *statement; /* both NULL: it is none */
	uint32_t kinds;
} rows[] = {
	{ "a Query", BYTES("Q\0\0\0\7a;\0"), "a;", NULL, OWED_QUERY + 1 },
	{ "without terminator", BYTES("Q\0\0\0\6a;"), NULL, NULL, 0 },
	{ "without a body", BYTES("Q\0\0\0\4"), NULL, NULL, 0 },
	{ "not whole", BYTES("Q\0\0\0\7a;"), NULL, NULL, 0 },
	{ "two of them", BYTES("Q\0\0\0\7a;\0Q\0\0\0\7a;\0"), NULL, NULL, 0 },
	{ "nothing", BYTES(""), NULL, NULL, 0 },
	{ "an unnamed statement, made and run", BYTES(PARSE BIND DESCRIBE EXECUTE SYNC), "a b", "",
	  (OWED_PARSE + 1) | (OWED_BIND + 1) << 4 | (OWED_DESCRIBE_PORTAL + 1) << 8 | (OWED_EXECUTE + 1) << 12 |
	      (uint32_t)(OWED_SYNC + 1) << 16 },
	{ "a named one is run", BYTES(BIND_S EXECUTE SYNC), NULL, "s",
	  (OWED_BIND + 1) | (OWED_EXECUTE + 1) << 4 | (OWED_SYNC + 1) << 8 },
	{ "the unnamed one of before", BYTES(BIND EXECUTE SYNC), NULL, NULL, 0 },
	{ "one is made, another run", BYTES(PARSE BIND_S EXECUTE SYNC), NULL, NULL, 0 },
	{ "a named one is made", BYTES("P\0\0\0\014s\0a b\0\0\0" BIND_S EXECUTE SYNC), NULL, NULL, 0 },
	{ "made twice", BYTES(PARSE PARSE BIND EXECUTE SYNC), NULL, NULL, 0 },
	{ "bound twice", BYTES(BIND_S BIND_S EXECUTE SYNC), NULL, NULL, 0 },
	{ "described behind the Execute", BYTES(BIND_S EXECUTE DESCRIBE SYNC), NULL, NULL, 0 },
	{ "the statement is described", BYTES(BIND_S "D\0\0\0\6S\0" EXECUTE SYNC), NULL, NULL, 0 },
	{ "executed twice", BYTES(BIND_S EXECUTE EXECUTE SYNC), NULL, NULL, 0 },
	{ "not executed", BYTES(BIND_S SYNC), NULL, NULL, 0 },
	{ "a limit on rows", BYTES(BIND_S "E\0\0\0\011\0\0\0\0\1" SYNC), NULL, NULL, 0 },
	{ "a portal with a name", BYTES("B\0\0\0\016p\0s\0\0\0\0\0\0\0" EXECUTE SYNC), NULL, NULL, 0 },
	{ "no Sync", BYTES(BIND_S EXECUTE), NULL, NULL, 0 },
	{ "a Flush in its place", BYTES(BIND_S EXECUTE "H\0\0\0\4"), NULL, NULL, 0 },
	{ "more behind it", BYTES(BIND_S EXECUTE SYNC SYNC), NULL, NULL, 0 },
	{ "a Bind that is cut", BYTES("B\0\0\0\6\0s" EXECUTE SYNC), NULL, NULL, 0 },
};

Test(plain_request, requests)
{
	EACH(row, rows) {
		uint8_t *exact = malloc(row->len + 1);
		bool is_wanted = row->kinds != 0;
		struct plain_request b;

		cr_assert_not_null(exact);
		memcpy(exact + 1, row->bytes, row->len);
		cr_expect_eq(plain_request_parse(exact + 1, row->len, &b), is_wanted, "%s", row->rule);
		if (is_wanted) {
			cr_expect_eq(b.kinds, row->kinds, "%s: %x", row->rule, b.kinds);
			cr_expect_eq(b.sql == NULL, row->sql == NULL, "%s", row->rule);
			if (row->sql != NULL)
				cr_expect(b.sql_len == strlen(row->sql) && memcmp(b.sql, row->sql, b.sql_len) == 0,
					  "%s", row->rule);
			if (row->statement != NULL)
				cr_expect_str_eq(b.statement_name, row->statement, "%s", row->rule);
		}
		free(exact);
	}
}
