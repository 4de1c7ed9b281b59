/*
 * tests/unit/test_listen_text.c - a LISTEN becomes an UNLISTEN that is known again. Links only sql/listen_text.c
 * and base/buf.c. Texts are copied to memory of exactly their size.
 */
#include "sql/traits.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
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
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].sql);
		char *sql = copy(rows[i].sql, len);
		struct buf out = { 0 };
		bool is_done = listen_text_substitute(sql, len, &out);

		cr_expect_eq(is_done, rows[i].want != NULL, "%s", rows[i].rule);
		cr_expect_not(listen_text_is_substitute(sql, len), "%s: it is none yet", rows[i].rule);
		if (is_done && rows[i].want != NULL) {
			cr_expect_eq(out.len, strlen(rows[i].want), "%s", rows[i].rule);
			cr_expect_eq(memcmp(out.bytes, rows[i].want, strlen(rows[i].want)), 0, "%s", rows[i].rule);
			cr_expect(listen_text_is_substitute((char *)out.bytes, out.len), "%s: known again",
				  rows[i].rule);
		}
		buf_fini(&out);
		free(sql);
	}
}
