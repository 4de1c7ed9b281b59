/*
 * tests/unit/test_deallocate_text.c - SQL that deallocates prepared statements, and SQL that only looks like it. Links
 * only sql/deallocate_text.c and what it reads with. Texts are copied to memory of exactly their size.
 */
#include "sql/recognise.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define NAME63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567890"

static const struct {
	const char *rule, *sql;
	enum deallocate_kind want;
	const char *name;
} rows[] = {
	/* Names. */
	{ "a name", "DEALLOCATE abc", DEALLOCATE_NAME, "abc" },
	{ "PREPARE is noise", "DEALLOCATE PREPARE abc", DEALLOCATE_NAME, "abc" },
	{ "any case; a name is folded", "deAllocate preParE AbC_1$", DEALLOCATE_NAME, "abc_1$" },
	{ "a quoted name is not", "DEALLOCATE \"AbC d\"", DEALLOCATE_NAME, "AbC d" },
	{ "doubled quotes", "DEALLOCATE \"a\"\"b\"\"\"", DEALLOCATE_NAME, "a\"b\"" },
	{ "a quoted name needs no blank before it", "DEALLOCATE\"a\"", DEALLOCATE_NAME, "a" },
	{ "a quoted word is a name", "DEALLOCATE \"all\"", DEALLOCATE_NAME, "all" },
	{ "comment signs in quotes are a name", "DEALLOCATE \"--a/*;\"", DEALLOCATE_NAME, "--a/*;" },
	{ "a name that begins like ALL", "DEALLOCATE allx", DEALLOCATE_NAME, "allx" },
	{ "a name that begins like PREPARE", "DEALLOCATE prepared", DEALLOCATE_NAME, "prepared" },
	{ "a name that is PREPARE", "DEALLOCATE PREPARE", DEALLOCATE_NAME, "prepare" },
	{ "so is that", "DEALLOCATE PREPARE PREPARE;", DEALLOCATE_NAME, "prepare" },
	{ "and that", "deallocate prepare -- all\n;", DEALLOCATE_NAME, "prepare" },
	{ "an underscore", "DEALLOCATE _a", DEALLOCATE_NAME, "_a" },
	{ "letters beyond ASCII",
	  "DEALLOCATE \xc3\x84"
	  "a",
	  DEALLOCATE_NAME,
	  "\xc3\x84"
	  "a" },
	{ "as long as a name may be", "DEALLOCATE " NAME63, DEALLOCATE_NAME, NAME63 },
	{ "a longer one is cut", "DEALLOCATE " NAME63 "x", DEALLOCATE_NAME, NAME63 },
	{ "a much longer one, too", "DEALLOCATE " NAME63 NAME63 NAME63 " ;", DEALLOCATE_NAME, NAME63 },
	{ "a quoted one as well", "DEALLOCATE \"" NAME63 "xyz\"", DEALLOCATE_NAME, NAME63 },
	{ "a digit is no name", "DEALLOCATE 1a", DEALLOCATE_NONE, NULL },
	{ "a dollar is none", "DEALLOCATE $1", DEALLOCATE_NONE, NULL },
	{ "nor a text in single quotes", "DEALLOCATE 'a'", DEALLOCATE_NONE, NULL },
	{ "nor nothing in quotes", "DEALLOCATE \"\"", DEALLOCATE_NONE, NULL },
	{ "nor a dotted one", "DEALLOCATE a.b", DEALLOCATE_NONE, NULL },
	{ "nor a quoted one with Unicode escapes", "DEALLOCATE U&\"a\"", DEALLOCATE_NONE, NULL },
	{ "nor two", "DEALLOCATE a b", DEALLOCATE_NONE, NULL },
	{ "nor a list", "DEALLOCATE a, b", DEALLOCATE_NONE, NULL },
	{ "nor a quoted one that goes on", "DEALLOCATE \"a\"b", DEALLOCATE_NONE, NULL },
	/* All. */
	{ "ALL", "DEALLOCATE ALL", DEALLOCATE_ALL, NULL },
	{ "PREPARE ALL", "deallocate prepare all ;", DEALLOCATE_ALL, NULL },
	{ "DISCARD ALL", "DISCARD ALL", DEALLOCATE_ALL, NULL },
	{ "other things that are discarded", "DISCARD PLANS", DEALLOCATE_NONE, NULL },
	{ "discarded alone", "DISCARD", DEALLOCATE_NONE, NULL },
	{ "DISCARD ALLX", "DISCARD ALLX", DEALLOCATE_NONE, NULL },
	{ "ALL and more", "DEALLOCATE ALL; SELECT 1", DEALLOCATE_ALL, NULL },
	{ "DISCARD ALL and more", "discard/**/all--\n;select 1", DEALLOCATE_ALL, NULL },
	/* White space and comments. */
	{ "all white space that there is", " \t\n\r\f\vDEALLOCATE \t\n\r\f\va \t\n\r\f\v", DEALLOCATE_NAME, "a" },
	{ "a comment instead of a blank", "DEALLOCATE/**/a", DEALLOCATE_NAME, "a" },
	{ "comments everywhere", "/*x*/DEALLOCATE/*x*/PREPARE/*x*/a/*x*/;/*x*/", DEALLOCATE_NAME, "a" },
	{ "comments to the end of the line", "--x\nDEALLOCATE--x\ra--x", DEALLOCATE_NAME, "a" },
	{ "nested comments", "/* /* x */ DEALLOCATE b */ DEALLOCATE a", DEALLOCATE_NAME, "a" },
	{ "stars and slashes", "/***//*/**/*/ DEALLOCATE a", DEALLOCATE_NAME, "a" },
	{ "a comment ends where it ends", "/* DEALLOCATE a */", DEALLOCATE_NONE, NULL },
	{ "a comment that does not end", "/* DEALLOCATE a", DEALLOCATE_NONE, NULL },
	{ "its inner one does", "/* /* */ DEALLOCATE a", DEALLOCATE_NONE, NULL },
	{ "behind a name", "DEALLOCATE a /* x", DEALLOCATE_NONE, NULL },
	{ "half an end", "DEALLOCATE a /* x *", DEALLOCATE_NONE, NULL },
	{ "half a beginning", "DEALLOCATE a /", DEALLOCATE_NONE, NULL },
	{ "half a line comment", "- DEALLOCATE a", DEALLOCATE_NONE, NULL },
	/* Several statements. */
	{ "a semicolon", "DEALLOCATE a;", DEALLOCATE_NAME, "a" },
	{ "many", " ; ;;DEALLOCATE a ; ; ;", DEALLOCATE_NAME, "a" },
	{ "another statement behind it", "DEALLOCATE a; SELECT 1", DEALLOCATE_NONE, NULL },
	{ "two names", "DEALLOCATE a; DEALLOCATE b", DEALLOCATE_NONE, NULL },
	{ "another before it", "SELECT 1; DEALLOCATE a", DEALLOCATE_NONE, NULL },
	{ "even ALL", "BEGIN; DEALLOCATE ALL", DEALLOCATE_NONE, NULL },
	/* Other texts. */
	{ "nothing", "", DEALLOCATE_NONE, NULL },
	{ "blanks", "  ", DEALLOCATE_NONE, NULL },
	{ "semicolons", ";;", DEALLOCATE_NONE, NULL },
	{ "the word alone", "DEALLOCATE", DEALLOCATE_NONE, NULL },
	{ "the word and a semicolon", "DEALLOCATE;", DEALLOCATE_NONE, NULL },
	{ "part of the word", "DEALLOCAT a", DEALLOCATE_NONE, NULL },
	{ "a longer word", "DEALLOCATED a", DEALLOCATE_NONE, NULL },
	{ "a longer word, with a letter beyond ASCII", "DEALLOCATE\xc3\x84 a", DEALLOCATE_NONE, NULL },
	{ "a query", "SELECT 'DEALLOCATE a'", DEALLOCATE_NONE, NULL },
	{ "others with that letter", "delete from a", DEALLOCATE_NONE, NULL },
	{ "in parentheses", "(DEALLOCATE a)", DEALLOCATE_NONE, NULL },
	{ "quotes that do not end", "DEALLOCATE \"a", DEALLOCATE_NONE, NULL },
	{ "quotes that end in doubled ones", "DEALLOCATE \"a\"\"", DEALLOCATE_NONE, NULL },
};

static enum deallocate_kind
parse(const char *sql, size_t len, char name[static DEALLOCATE_NAME_MAX])
{
	char *exact = malloc(len > 0 ? len : 1);
	enum deallocate_kind kind;

	cr_assert_not_null(exact);
	memcpy(exact, sql, len);
	kind = deallocate_parse(exact, len, name);
	free(exact);
	return kind;
}

Test(deallocate, texts)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[DEALLOCATE_NAME_MAX] = "";

		cr_expect_eq(parse(rows[i].sql, strlen(rows[i].sql), name), rows[i].want, "%s", rows[i].rule);
		if (rows[i].name != NULL)
			cr_expect_str_eq(name, rows[i].name, "%s: %s", rows[i].rule, name);
	}
}

Test(deallocate, every_cut_of_every_text_is_read_within_its_bounds)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t len = 0; len < strlen(rows[i].sql); len++) {
			char name[DEALLOCATE_NAME_MAX];

			if (parse(rows[i].sql, len, name) == DEALLOCATE_NAME)
				cr_expect_gt(strnlen(name, sizeof(name)), 0, "%s, %zu bytes", rows[i].rule, len);
		}
}

Test(deallocate, a_zero_byte_is_no_white_space)
{
	char name[DEALLOCATE_NAME_MAX];

	cr_expect_eq(parse("\0DEALLOCATE a", 13, name), DEALLOCATE_NONE);
	cr_expect_eq(parse("DEALLOCATE\0a", 12, name), DEALLOCATE_NONE);
	cr_expect_eq(parse("DEALLOCATE a\0", 13, name), DEALLOCATE_NONE);
	cr_expect_eq(parse("DEALLOCATE a\0; x", 16, name), DEALLOCATE_NONE);
}
