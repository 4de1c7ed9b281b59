/* tests/unit/test_signal_text.c - which SQL is one call of pg_cancel_backend() or pg_terminate_backend(). */
#include "sql/recognise.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
	const char *sql;
	enum signal_text want;
} rows[] = {
	{ "SELECT pg_cancel_backend(7)", SIGNAL_TEXT_CANCEL },
	{ "select pg_terminate_backend($1);", SIGNAL_TEXT_TERMINATE },
	{ " /* why */ SELECT Pg_Catalog . PG_terminate_backend ( '7'::pg_catalog.int4, 1000 ) ended ;; -- done",
	  SIGNAL_TEXT_TERMINATE },
	{ "SELECT pg_terminate_backend(pid => int '7', timeout => 5) AS \"it is\"", SIGNAL_TEXT_TERMINATE },
	{ "SELECT * FROM pg_cancel_backend($1) AS done", SIGNAL_TEXT_CANCEL },
	{ "", SIGNAL_TEXT_NOT },
	{ "SELECT", SIGNAL_TEXT_NOT },
	{ "SELECT 1", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend(7", SIGNAL_TEXT_NOT },
	{ "SELECT mine.pg_cancel_backend(7)", SIGNAL_TEXT_NOT },
	{ "SELECT \"pg_cancel_backend\"(7)", SIGNAL_TEXT_NOT },
	{ "SELECT mine() /* pg_cancel_backend(7) */", SIGNAL_TEXT_NOT },
	{ "SELECT 'pg_cancel_backend', mine()", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend(mine())", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend((SELECT 7))", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend(7 + 1)", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend(7), mine()", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend(7) FROM mine", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend(7) WHERE mine()", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend(pid) FROM mine", SIGNAL_TEXT_NOT },
	{ "SELECT * pg_cancel_backend(7)", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend(7); SELECT 1", SIGNAL_TEXT_NOT },
	{ "SET LOCAL ROLE anon; SELECT pg_cancel_backend(7)", SIGNAL_TEXT_NOT },
	{ "SELECT pg_cancel_backend('7\\')", SIGNAL_TEXT_NOT }, /* where it ends depends on settings */
	{ "SELECT pg_cancel_backend(7) AS \303\251t\303\251", SIGNAL_TEXT_NOT },
	{ "DO $$ BEGIN PERFORM pg_cancel_backend(7); END $$", SIGNAL_TEXT_NOT },
};

Test(signal_text, rows)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(signal_text_read(rows[i].sql, strlen(rows[i].sql)), rows[i].want, "%s", rows[i].sql);
}
