#include "relay/forbid.h"
#include "sql/forbidden.h"
#include "state/observe.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <string.h>

#define WORD "pgweir_refuses_"

/* A Parse with its name, its SQL and no types, and a Query: their bodies are shorter than 256 bytes. */
#define PARSE(name, sql)                                                                                               \
	(const uint8_t *)&(const struct {                                                                              \
		uint8_t head[FRAME_HEAD_LEN];                                                                          \
		char body[sizeof(name) + sizeof(sql)], types[2];                                                       \
	})                                                                                                             \
	{                                                                                                              \
		{ 'P', 0, 0, 0, 4 + sizeof(name) + sizeof(sql) + 2 }, name "\0" sql,                                   \
		{                                                                                                      \
			0                                                                                              \
		}                                                                                                      \
	}
#define QUERY(sql)                                                                                                     \
	(const uint8_t *)&(const struct {                                                                              \
		uint8_t head[FRAME_HEAD_LEN];                                                                          \
		char body[sizeof(sql)];                                                                                \
	})                                                                                                             \
	{                                                                                                              \
		{ 'Q', 0, 0, 0, 4 + sizeof(sql) }, sql                                                                 \
	}
#define MESSAGES(word) PARSE("", WORD word), PARSE("pgweir_refused", WORD word), QUERY(WORD word)

static const struct {
	const char *word; /* what PostgreSQL is sent as SQL */
	const uint8_t *unnamed, *named, *query;
	const char *text, *hint;
} refusals[FORBIDDEN_COUNT] = {
	[FORBIDDEN_UPDATE] = { WORD "update_without_where", MESSAGES("update_without_where"),
			       "UPDATE without a WHERE clause is not allowed",
			       "Add a WHERE clause; to change all rows, write WHERE true." },
	[FORBIDDEN_DELETE] = { WORD "delete_without_where", MESSAGES("delete_without_where"),
			       "DELETE without a WHERE clause is not allowed",
			       "Add a WHERE clause; to delete all rows, write WHERE true." },
	[FORBIDDEN_DDL] = { WORD "ddl", MESSAGES("ddl"), "statements that change the schema are not allowed",
			    "Run it as a user, or on a database, for which pgweir's setting refuse has no ddl." },
	[FORBIDDEN_MULTI] = { WORD "multi_statement", MESSAGES("multi_statement"),
			      "several statements in one query are not allowed",
			      "Send each statement as a query of its own." },
	[FORBIDDEN_SIZE] = { WORD "too_long", MESSAGES("too_long"), "a statement this long is not allowed",
			     "pgweir's setting refuse looks at statements up to max_statement_size." },
};

enum forbidden
forbid_find(const struct exchange *x, bool is_query, const char *sql, size_t len)
{
	uint32_t refuse = x->settings->forbidden & ~(is_query ? 0 : FORBIDDEN_BIT(FORBIDDEN_MULTI));
	unsigned options = gucs_scan_options(x->gucs);
	enum forbidden what;

	if (len >= x->settings->max_statement_size) /* as if not all of it had come */
		return FORBIDDEN_SIZE;
	what = forbidden_find(refuse, options, sql, len);
	/* Earlier SQL may change how PostgreSQL reads strings, before it reads this. */
	if (what == FORBIDDEN_NOTHING && state_reads_anyhow(x) && memchr(sql, '\\', len) != NULL)
		what = forbidden_find(refuse, options ^ SCAN_BACKSLASH_STRINGS, sql, len);
	return what;
}

void
forbid_replace(struct request *m)
{
	bool is_query = m->type == 'Q', is_named = !is_query && m->parse.name[0] != '\0';

	m->sql = refusals[m->forbidden].word;
	m->sql_len = strlen(m->sql);
	m->own = (struct sql_traits){ .is_plain = true };
	m->traits = &m->own;
	m->scan = NULL;
	m->risk = 0;
	m->is_taken_apart = false;
	m->message = is_query	? refusals[m->forbidden].query
		     : is_named ? refusals[m->forbidden].named
				: refusals[m->forbidden].unnamed;
	m->total = m->have = FRAME_HEAD_LEN + (size_t)m->message[FRAME_HEAD_LEN - 1] - 4;
	if (is_query)
		return;
	m->parse.rest = m->message + m->total - (m->sql_len + 3);
	m->parse.rest_len = m->sql_len + 3;
	m->parse.query_len = m->sql_len;
}

enum forbidden
forbid_of_error(const struct error_fields *e)
{
	const char *word;

	if (e->sqlstate == NULL || strcmp(e->sqlstate, "42601") != 0 || e->message == NULL ||
	    (word = strstr(e->message, WORD)) == NULL)
		return FORBIDDEN_NOTHING;
	for (unsigned i = FORBIDDEN_NOTHING + 1; i < FORBIDDEN_COUNT; i++)
		if (strncmp(word, refusals[i].word, strlen(refusals[i].word)) == 0)
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
	exchange_answer(x, b.bytes, b.len);
	buf_fini(&b);
	return true;
}
