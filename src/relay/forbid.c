#include "relay/forbid.h"
#include "sql/forbidden.h"
#include "state/observe.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <stdio.h>
#include <string.h>

#define WORD "pgweir_refuses_" /* PostgreSQL gets this word, followed by one of forbidden_names, as the SQL */

static const struct {
	const char *text, *hint;
} refusals[FORBIDDEN_COUNT] = {
	[FORBIDDEN_UPDATE] = { "UPDATE without a WHERE clause is not allowed",
			       "Add a WHERE clause; to change all rows, write WHERE true." },
	[FORBIDDEN_DELETE] = { "DELETE without a WHERE clause is not allowed",
			       "Add a WHERE clause; to delete all rows, write WHERE true." },
	[FORBIDDEN_DDL] = { "statements that change the schema are not allowed",
			    "Run it as a user, or on a database, for which pgweir's setting refuse has no ddl." },
	[FORBIDDEN_MULTI] = { "several statements in one query are not allowed",
			      "Send each statement as a query of its own." },
	[FORBIDDEN_SIZE] = { "a statement this long is not allowed",
			     "pgweir's setting refuse looks at statements up to max_statement_size." },
};

enum forbidden
forbid_find_rule(const struct exchange *x, bool is_query, const char *sql, size_t len)
{
	uint32_t refuse = x->settings->forbidden & ~(is_query ? 0 : FORBIDDEN_BIT(FORBIDDEN_MULTI));
	unsigned options = gucs_scan_options(x->gucs);
	enum forbidden what;

	if (len >= x->settings->max_statement_size) /* refused as if only a part of the SQL had come */
		return FORBIDDEN_SIZE;
	what = forbidden_find(refuse, options, sql, len);
	/* Earlier SQL may change how PostgreSQL reads strings before PostgreSQL reads this SQL. */
	if (what == FORBIDDEN_NOTHING && state_may_misread(x) && memchr(sql, '\\', len) != NULL)
		what = forbidden_find(refuse, options ^ SCAN_BACKSLASH_STRINGS, sql, len);
	return what;
}

bool
forbid_replace(struct request *m)
{
	char sql[64] = { 0 }; /* the zeros after the SQL: its terminator, and a Parse's count of types */
	size_t rest_len;

	snprintf(sql, sizeof(sql) - 2, WORD "%s", forbidden_names[m->forbidden - 1]);
	m->sql_len = strlen(sql);
	rest_len = m->sql_len + (m->type == 'Q' ? 1 : 3);
	if (m->type == 'Q')
		message_put(&m->instead, 'Q', sql, rest_len);
	else
		message_parse(&m->instead, m->parse.name, sql, rest_len);
	if (!buf_ok(&m->instead)) {
		buf_fini(&m->instead);
		return false;
	}
	m->message = m->instead.bytes;
	m->total = m->have = m->instead.len;
	m->sql = (const char *)m->message + m->total - rest_len;
	m->parse_traits = (struct sql_traits){ .is_plain = true };
	m->traits = &m->parse_traits;
	m->scan = NULL;
	m->risk = 0;
	m->is_taken_apart = false;
	m->parse.rest = (const uint8_t *)m->sql;
	m->parse.rest_len = rest_len;
	m->parse.query_len = m->sql_len;
	return true;
}

enum forbidden
forbid_of_error(const struct error_fields *e)
{
	const char *word;

	if (e->sqlstate == NULL || strcmp(e->sqlstate, "42601") != 0 || e->message == NULL ||
	    (word = strstr(e->message, WORD)) == NULL)
		return FORBIDDEN_NOTHING;
	for (unsigned i = FORBIDDEN_NOTHING + 1; i < FORBIDDEN_COUNT; i++)
		if (strncmp(word + strlen(WORD), forbidden_names[i - 1], strlen(forbidden_names[i - 1])) == 0)
			return (enum forbidden)i;
	return FORBIDDEN_NOTHING;
}

bool
forbid_answer(struct exchange *x, enum forbidden what)
{
	struct buf b = { 0 };
	struct fail why;

	if (what == FORBIDDEN_NOTHING)
		return false;
	x->pool->database->counters.statements_forbidden[what - 1]++;
	fail_set(&why, "42501", "%s", refusals[what].text);
	if (what != FORBIDDEN_SIZE)
		fail_detail(&why, "pgweir's setting refuse for database \"%s\" and user \"%s\" has %s.",
			    x->pool->database->name, x->pool->user, forbidden_names[what - 1]);
	fail_hint(&why, "%s", refusals[what].hint);
	message_error(&b, "ERROR", &why);
	exchange_answer_buf(x, &b);
	return true;
}
