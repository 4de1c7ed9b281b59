/*
 * tests/unit/test_listen_text.c - a LISTEN becomes an UNLISTEN that is known again. Links only sql/listen_text.c
 * and base/buf.c. Texts are copied to memory of exactly their size.
 */
#include "sql/traits.h"
#include "unit.h"

#include <strings.h>

static char *
copy(const char *text, size_t len)
{
	char *exact = malloc(len > 0 ? len : 1);

	memcpy(exact, text, len);
	return exact;
}

static const struct {
	const char *rule, *sql, *want;
} rows[] = {
	{ "the word alone is changed", "LISTEN a", "UNLISTEN/*LISTEN*/ a" },
	{ "in any case", "lIsTeN a", "UNLISTEN/*LISTEN*/ a" },
	{ "what follows stays as it is", "listen \"A b\" ; -- x", "UNLISTEN/*LISTEN*/ \"A b\" ; -- x" },
	{ "no blank is needed before a quote", "LISTEN\"a\"", "UNLISTEN/*LISTEN*/\"a\"" },
	{ "white space before it", " \t\r\n\f\vLISTEN a", " \t\r\n\f\vUNLISTEN/*LISTEN*/ a" },
	{ "a comment before it", "/* LISTEN b */LISTEN a", "/* LISTEN b */UNLISTEN/*LISTEN*/ a" },
	{ "a nested one", "/* /* x */ LISTEN */ LISTEN a", "/* /* x */ LISTEN */ UNLISTEN/*LISTEN*/ a" },
	{ "one to the end of the line", "-- LISTEN b\nLISTEN a", "-- LISTEN b\nUNLISTEN/*LISTEN*/ a" },
	{ "empty statements", ";; ;LISTEN a", ";; ;UNLISTEN/*LISTEN*/ a" },
	{ "another statement", "SELECT 1", NULL },
	{ "an UNLISTEN", "UNLISTEN a", NULL },
	{ "a text that ends too soon", "LISTE", NULL },
	{ "nothing", "", NULL },
	{ "a comment without an end", "/* LISTEN a", NULL },
	{ "a slash", "/", NULL },
	{ "a minus", "-", NULL },
};

Test(listen_text, substitutes)
{
	EACH(row, rows) {
		size_t len = strlen(row->sql);
		char *sql = copy(row->sql, len);
		struct buf out = { 0 };
		bool is_done = listen_text_substitute(sql, len, &out);

		cr_expect_eq(is_done, row->want != NULL, "%s", row->rule);
		cr_expect_not(listen_text_is_substitute(sql, len), "%s: it is none yet", row->rule);
		if (is_done && row->want != NULL) {
			cr_expect_eq(out.len, strlen(row->want), "%s", row->rule);
			cr_expect_eq(memcmp(out.bytes, row->want, strlen(row->want)), 0, "%s", row->rule);
			cr_expect(listen_text_is_substitute((char *)out.bytes, out.len), "%s: known again", row->rule);
		}
		buf_fini(&out);
		free(sql);
	}
}
