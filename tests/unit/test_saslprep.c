/*
 * tests/unit/test_saslprep.c - what SASLprep makes of passwords: RFC 4013's examples, and where PostgreSQL takes them
 * as they are. Links auth/saslprep.c alone.
 */
#include "auth/encoding.h"
#include "base/text.h"
#include "build.h"
#include "unit.h"

static const struct {
	const char *rule, *in, *want; /* NULL: as it is */
} rows[] = {
	{ "ASCII", "I am ASCII~", NULL },
	{ "nothing", "", NULL },
	{ "ASCII's control characters are not looked at", "a\x01\x7f", NULL },
	{ "RFC 4013: a soft hyphen is mapped to nothing", "I\xc2\xadX", "IX" },
	{ "RFC 4013: no case is folded", "USER", NULL },
	{ "RFC 4013: NFKC, Latin 1", "\xc2\xaa", "a" },
	{ "RFC 4013: NFKC, a Roman numeral", "\xe2\x85\xa8", "IX" },
	{ "RFC 4013: prohibited", "\x07\xc2\xaa", NULL },
	{ "RFC 4013: bidirectional check", "\xd8\xa7\x31", NULL },
	{ "right to left from end to end", "\xd8\xa7\x31\xd8\xa8", "\xd8\xa7\x31\xd8\xa8" },
	{ "a letter and its accent become one", "e\xcc\x81", "\xc3\xa9" },
	{ "one already", "\xc3\xa9", "\xc3\xa9" },
	{ "a no-break space is a space", "a\xc2\xa0z", "a z" },
	{ "invisible characters alone: an empty password is none", "\xc2\xad", NULL },
	{ "not assigned in Unicode 3.2", "\xf0\x9f\x98\x80\xc2\xaa", NULL },
	{ "prohibited, though NFKC makes another of it", "\xcd\x80\xc2\xaa", NULL },
	{ "for private use", "\xee\x80\x80\xc2\xaa", NULL },
	{ "normalised as later versions of Unicode do", "\xf0\xaf\xa1\xa8", "\xe3\x9b\xbc" },
	{ "the longest of all expansions", "\xef\xb7\xba",
	  "\xd8\xb5\xd9\x84\xd9\x89 \xd8\xa7\xd9\x84\xd9\x84\xd9\x87 \xd8\xb9\xd9\x84\xd9\x8a\xd9\x87 "
	  "\xd9\x88\xd8\xb3\xd9\x84\xd9\x85" },
	{ "no UTF-8: Latin 1", "p\xe4ssword", NULL },
	{ "no UTF-8: cut", "\xc2\xaa\xe2\x85", NULL },
	{ "no UTF-8: two bytes for one's character", "\xc2\xaa\xc1\xa1", NULL },
	{ "no UTF-8: a surrogate", "\xc2\xaa\xed\xa0\x80", NULL },
	{ "no UTF-8: beyond Unicode", "\xc2\xaa\xf4\x90\x80\x80", NULL },
};

Test(saslprep, rules)
{
	EACH(row, rows) {
		char *in = strdup(row->in), *out; /* a sanitizer sees a byte too far */
		const char *want = row->want;

#ifndef HAVE_LIBIDN
		want = NULL;
#endif
		cr_assert_eq(saslprep(in, &out), 0, "%s", row->rule);
		if (want == NULL)
			cr_expect_null(out, "%s: %s", row->rule, out);
		else {
			cr_assert_not_null(out, "%s", row->rule);
			cr_expect_str_eq(out, want, "%s", row->rule);
		}
		secret_free(out);
		free(in);
	}
}

Test(saslprep, every_character_of_a_long_password_may_grow)
{
	enum { CHARACTERS = 500 };
	char in[CHARACTERS * 3 + 1], *out;

	for (size_t i = 0; i < CHARACTERS; i++)
		memcpy(in + i * 3, "\xef\xb7\xba", 3);
	in[CHARACTERS * 3] = '\0';
	cr_assert_eq(saslprep(in, &out), 0);
#ifdef HAVE_LIBIDN
	cr_assert_not_null(out);
	cr_expect_eq(strlen(out), CHARACTERS * 33);
#endif
	secret_free(out);
}

Test(saslprep, nothing_may_be_freed)
{
	secret_free(NULL);
}
