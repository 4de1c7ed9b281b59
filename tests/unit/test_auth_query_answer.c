/*
 * tests/unit/test_auth_query_answer.c - the row that auth_query gave, well-formed and not. Links
 * lookup/auth_query_answer.c and base/fail.c.
 */
#include "lookup/auth_query_cache.h"
#include "unit.h"

#define NULL_COLUMN "\xff\xff\xff\xff"
#define WEB "\0\0\0\3web"

static const struct {
	const char *rule;
	const char *body;
	size_t len;
	int want;
	const char *secret; /* NULL: nobody logs in */
	int64_t valid_until_us;
} rows[] = {
#define ROW(bytes) bytes, sizeof(bytes) - 1
#define EVER AUTH_VALID_FOR_EVER
	{ "a secret alone", ROW("\0\1\0\0\0\6secret"), 0, "secret", EVER },
	{ "a name and a secret", ROW("\0\2" WEB "\0\0\0\6secret"), 0, "secret", EVER },
	{ "a name that is NULL", ROW("\0\2" NULL_COLUMN "\0\0\0\6secret"), 0, "secret", EVER },
	{ "NULL", ROW("\0\1" NULL_COLUMN), 0, NULL, EVER },
	{ "an empty secret", ROW("\0\2" WEB "\0\0\0\0"), 0, NULL, EVER },
	{ "another user's", ROW("\0\2\0\0\0\3wef\0\0\0\6secret"), -1, NULL, 0 },
	{ "a longer name", ROW("\0\2\0\0\0\4webb\0\0\0\6secret"), -1, NULL, 0 },
	{ "a shorter name", ROW("\0\2\0\0\0\2we\0\0\0\6secret"), -1, NULL, 0 },
	{ "an empty name", ROW("\0\2\0\0\0\0\0\0\0\6secret"), -1, NULL, 0 },
	{ "a name with a zero byte", ROW("\0\2\0\0\0\4web\0\0\0\0\6secret"), -1, NULL, 0 },
	{ "a secret with a zero byte", ROW("\0\1\0\0\0\6sec\0et"), -1, NULL, 0 },

	{ "valid for ever: NULL", ROW("\0\3" WEB "\0\0\0\1s" NULL_COLUMN), 0, "s", EVER },
	{ "valid for ever: infinity", ROW("\0\3" WEB "\0\0\0\1s\0\0\0\x08infinity"), 0, "s", EVER },
	{ "as numbers have it", ROW("\0\3" WEB "\0\0\0\1s\0\0\0\x08Infinity"), 0, "s", EVER },
	{ "never valid", ROW("\0\3" WEB "\0\0\0\1s\0\0\0\x09-infinity"), 0, "s", INT64_MIN },
	{ "a second",
	  ROW("\0\3" WEB "\0\0\0\1s\0\0\0\012"
	      "1763650000"),
	  0, "s", 1763650000000000 },
	{ "with microseconds",
	  ROW("\0\3" WEB "\0\0\0\1s\0\0\0\x11"
	      "1763650000.250001"),
	  0, "s", 1763650000250001 },
	{ "what is finer is cut",
	  ROW("\0\3" WEB "\0\0\0\1s\0\0\0\x0b"
	      "1.000000999"),
	  0, "s", 1000000 },
	{ "before 1970", ROW("\0\3" WEB "\0\0\0\1s\0\0\0\4-1.5"), 0, "s", -1500000 },
	{ "as far as numbers go",
	  ROW("\0\3" WEB "\0\0\0\1s\0\0\0\x0d"
	      "9000000000000"),
	  0, "s", 9000000000000000000 },
	{ "further away",
	  ROW("\0\3" WEB "\0\0\0\1s\0\0\0\x0d"
	      "9000000000001"),
	  0, "s", EVER },
	{ "beyond all numbers",
	  ROW("\0\3" WEB "\0\0\0\1s\0\0\0\x18"
	      "999999999999999999999999"),
	  0, "s", EVER },
	{ "no number", ROW("\0\3" WEB "\0\0\0\1s\0\0\0\3NaN"), -1, NULL, 0 },
	{ "a date",
	  ROW("\0\3" WEB "\0\0\0\1s\0\0\0\x0a"
	      "2026-01-01"),
	  -1, NULL, 0 },
	{ "an empty number", ROW("\0\3" WEB "\0\0\0\1s\0\0\0\0"), -1, NULL, 0 },
	{ "a sign alone", ROW("\0\3" WEB "\0\0\0\1s\0\0\0\1-"), -1, NULL, 0 },
	{ "a fraction alone", ROW("\0\3" WEB "\0\0\0\1s\0\0\0\2.5"), -1, NULL, 0 },
	{ "an exponent",
	  ROW("\0\3" WEB "\0\0\0\1s\0\0\0\3"
	      "1e9"),
	  -1, NULL, 0 },
	{ "a blank", ROW("\0\3" WEB "\0\0\0\1s\0\0\0\2 1"), -1, NULL, 0 },

	{ "no columns", ROW("\0\0"), -1, NULL, 0 },
	{ "four columns", ROW("\0\4" WEB "\0\0\0\1s" NULL_COLUMN NULL_COLUMN), -1, NULL, 0 },
	{ "a count cut short", ROW("\0"), -1, NULL, 0 },
	{ "nothing at all", ROW(""), -1, NULL, 0 },
	{ "a length cut short", ROW("\0\1\0\0\0"), -1, NULL, 0 },
	{ "a column cut short", ROW("\0\1\0\0\0\6secre"), -1, NULL, 0 },
	{ "a column missing", ROW("\0\2" WEB), -1, NULL, 0 },
	{ "bytes behind it", ROW("\0\1\0\0\0\6secret!"), -1, NULL, 0 },
	{ "an impossible length",
	  ROW("\0\1\x7f\xff\xff\xff"
	      "secret"),
	  -1, NULL, 0 },
	{ "a negative length that is not NULL's",
	  ROW("\0\1\xff\xff\xff\xfe"
	      "secret"),
	  -1, NULL, 0 },
};

Test(auth_query_answer, rows)
{
	EACH(row, rows) {
		uint8_t *body = malloc(row->len + 1), *exact = body + 1; /* at its end: an overrun is seen by ASan */
		struct auth_answer answer;
		struct fail why;

		memcpy(exact, row->body, row->len);
		cr_expect_eq(auth_answer_read(exact, row->len, "web", &answer, &why), row->want, "%s", row->rule);
		if (row->want == 0) {
			cr_expect_eq(answer.valid_until_us, row->valid_until_us, "%s", row->rule);
			cr_expect_eq(answer.secret == NULL, row->secret == NULL, "%s", row->rule);
		}
		if (row->want == 0 && row->secret != NULL) {
			cr_expect_eq(answer.secret_len, strlen(row->secret), "%s", row->rule);
			cr_expect_eq(memcmp(answer.secret, row->secret, answer.secret_len), 0, "%s", row->rule);
		}
		free(body);
	}
}

Test(auth_query_answer, secrets_have_a_limit)
{
	static uint8_t body[6 + AUTH_SECRET_MAX + 1] = { 0, 1, 0, 0, AUTH_SECRET_MAX >> 8, AUTH_SECRET_MAX & 0xff };
	struct auth_answer answer;
	struct fail why;

	memset(body + 6, 'x', sizeof(body) - 6);
	cr_expect_eq(auth_answer_read(body, sizeof(body) - 1, "web", &answer, &why), 0);
	cr_expect(answer.is_user);
	cr_expect_eq(answer.secret_len, AUTH_SECRET_MAX);
	body[5]++;
	cr_expect_eq(auth_answer_read(body, sizeof(body), "web", &answer, &why), -1);
}
