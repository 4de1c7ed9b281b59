/*
 * tests/unit/test_trailing_comment.c - which comments at the end of a query are left out of it. Links only
 * sql/trailing_comment.c.
 */
#include "sql/traits.h"
#include "unit.h"

static const struct {
	const char *rule, *sql, *want; /* want NULL: the text stays as it is */
} rows[] = {
	{ "one pair", "SELECT 1 /*a='b'*/", "SELECT 1" },
	{ "several, encoded", "SELECT 1 /*action='x',trace_parent='00-1f-2-01',route='%5Epolls%2F%24'*/", "SELECT 1" },
	{ "with spaces", "SELECT 1\n/* a='b' , c.d-e='' */ \n", "SELECT 1" },
	{ "before a semicolon", "SELECT 1 /*a='b'*/ ;", "SELECT 1" },
	{ "behind one", "SELECT 1; /*a='b'*/", "SELECT 1;" },
	{ "slashes that nobody encoded", "SELECT 1 /*path='/a/b'*/", "SELECT 1" },
	{ "only the last one", "SELECT /*a='b'*/ 1 /*c='d'*/", "SELECT /*a='b'*/ 1" },
	{ "nothing but the comment", "/*a='b'*/", "" },
	{ "right behind an operator", "SELECT 5 */*a='b'*/", "SELECT 5 *" },
	{ "in a comment to the end of the line", "SELECT 1 -- x /*a='b'*/", "SELECT 1 -- x" },
	{ "no comment", "SELECT 1", NULL },
	{ "a semicolon alone", "SELECT 1 ; ", NULL },
	{ "an empty text", "", NULL },
	{ "white space", "  ", NULL },
	{ "the smallest", "/**/", NULL },
	{ "less", "*/", NULL },
	{ "less still", "/*/", NULL },
	{ "words", "SELECT 1 /* a comment */", NULL },
	{ "a hint of another form", "SELECT 1 /*application:web,controller:x*/", NULL },
	{ "no quotes", "SELECT 1 /*a=b*/", NULL },
	{ "no key", "SELECT 1 /*='b'*/", NULL },
	{ "no end of the value", "SELECT 1 /*a='b*/", NULL },
	{ "no value", "SELECT 1 /*a=*/", NULL },
	{ "a comma at the end", "SELECT 1 /*a='b',*/", NULL },
	{ "something between", "SELECT 1 /*a='b' c='d'*/", NULL },
	{ "an escaped quote", "SELECT 1 /*a='b\\'c'*/", NULL },
	{ "bytes above ASCII: the encoding may hide a quote in them", "SELECT 1 /*a='\x95\x5c'*/", NULL },
	{ "in a string", "SELECT ' /*a=''b''*/'", NULL },
	{ "not at the end", "SELECT /*a='b'*/ 1", NULL },
	{ "no beginning", "SELECT 1 a='b'*/", NULL },
	{ "an asterisk in the value", "SELECT 1 /*a='*'*/", NULL },
};

Test(trailing_comment, rows)
{
	EACH(row, rows) {
		size_t len = strlen(row->sql), got = trailing_comment_at(row->sql, len);

		cr_expect_eq(got, row->want == NULL ? len : strlen(row->want), "%s: %zu", row->rule, got);
		if (row->want != NULL)
			cr_expect_eq(memcmp(row->sql, row->want, got), 0, "%s", row->rule);
	}
}
