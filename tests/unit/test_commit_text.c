/* tests/unit/test_commit_text.c - which SQL is one COMMIT and nothing else. */
#include "sql/recognise.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
	const char *sql;
	enum commit_text want;
} rows[] = {
	{ "COMMIT", COMMIT_TEXT_PLAIN },
	{ "commit;", COMMIT_TEXT_PLAIN },
	{ " /* a /* nested */ one */ CoMmIt WORK ; ; -- done", COMMIT_TEXT_PLAIN },
	{ "END", COMMIT_TEXT_PLAIN },
	{ "END TRANSACTION", COMMIT_TEXT_PLAIN },
	{ "COMMIT AND NO CHAIN", COMMIT_TEXT_PLAIN },
	{ "COMMIT/*route='x'*/", COMMIT_TEXT_PLAIN },
	{ "COMMIT AND CHAIN", COMMIT_TEXT_CHAIN },
	{ "END WORK AND CHAIN;", COMMIT_TEXT_CHAIN },
	{ "", COMMIT_TEXT_NOT },
	{ ";COMMIT", COMMIT_TEXT_NOT }, /* it would be one; nobody writes it */
	{ "COMMIT PREPARED 'x'", COMMIT_TEXT_NOT },
	{ "COMMIT; BEGIN", COMMIT_TEXT_NOT },
	{ "COMMIT WORK TRANSACTION", COMMIT_TEXT_NOT },
	{ "COMMIT AND", COMMIT_TEXT_NOT },
	{ "COMMIT AND NO", COMMIT_TEXT_NOT },
	{ "COMMIT AND CHAIN CHAIN", COMMIT_TEXT_NOT },
	{ "COMMIT /*", COMMIT_TEXT_NOT },
	{ "\"commit\"", COMMIT_TEXT_NOT },
	{ "ROLLBACK", COMMIT_TEXT_NOT },
	{ "ENDED", COMMIT_TEXT_NOT },
	{ "SELECT 1; COMMIT", COMMIT_TEXT_NOT },
};

Test(commit_text, rows)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(commit_text_read(rows[i].sql, strlen(rows[i].sql)), rows[i].want, "%s", rows[i].sql);
	cr_expect_eq(commit_text_read("COMMITTED", 6), COMMIT_TEXT_PLAIN, "there is no terminator behind it");
}
