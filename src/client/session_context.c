/*
 * src/client/session_context.c - which clients may share a prepared statement of one text.
 *
 * PostgreSQL reads literals when it parses: '01/02/2020' under DateStyle, '12:00' under TimeZone, 'a\\b' under
 * standard_conforming_strings. A text with literals is shared only by clients whose settings agree in all that. What
 * 'now' or 'today' mean is decided then, too, and what columns EXECUTE and FETCH have: such texts are not shared.
 * (PostgreSQL 15 crashes at a Describe of a FETCH whose cursor there was when it was parsed, and is no more.)
 */
#include "client/session.h"

#include "session/sql_token.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Quoted or dollar-quoted; $1 is a parameter. */
static bool
has_literal(const char *sql, size_t len)
{
	const char *end = sql + len;

	if (memchr(sql, '\'', len) != NULL)
		return true;
	while ((sql = memchr(sql, '$', (size_t)(end - sql))) != NULL)
		if (++sql < end && !isdigit((unsigned char)*sql))
			return true;
	return false;
}

/* Input of date and time types that means the moment of reading it. */
static bool
names_moment(const char *sql, size_t len)
{
	static const char *const words[] = { "now", "today", "tomorrow", "yesterday" };
	const char *end = sql + len;

	while ((sql = memchr(sql, '\'', (size_t)(end - sql))) != NULL) {
		for (sql++; sql < end && isspace((unsigned char)*sql); sql++)
			;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if ((size_t)(end - sql) >= strlen(words[i]) &&
			    strncasecmp(sql, words[i], strlen(words[i])) == 0)
				return true;
		if (sql == end)
			return false;
	}
	return false;
}

/* The first word of the text, past white space; a comment before it is as good as one. */
static bool
may_execute(const char *sql, size_t len)
{
	while (len > 0 && isspace((unsigned char)*sql)) {
		sql++;
		len--;
	}
	return len > 0 && memchr("eEcC/-;(", *sql, 8) != NULL;
}

static bool
executes(const struct client *c, const char *sql, size_t len)
{
	struct scan scan;

	return may_execute(sql, len) && (scan_text(&scan, image_scan_options(c->image), sql, len) & SCAN_EXECUTE) != 0;
}

static bool
fetches(const char *sql, size_t len)
{
	struct sql_lexer lexer;
	struct sql_token token;

	sql_lexer_init(&lexer, sql, len);
	do
		token = sql_next(&lexer);
	while (token.kind == SQL_PUNCT && *token.at == ';');
	return sql_is_word(&token, "fetch", 5);
}

bool
session_statement_context(const struct client *c, const char *sql, size_t len, uint32_t *context)
{
	*context = 0;
	if (executes(c, sql, len) || fetches(sql, len))
		return false;
	if (!has_literal(sql, len))
		return true;
	*context = image_context(c->image);
	return *context != IMAGE_CONTEXT_NONE && !names_moment(sql, len);
}
