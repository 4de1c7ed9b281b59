/* src/session/deallocate.c - see deallocate.h. */
#include "session/deallocate.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct text {
	const char *at, *end;
};

/* One that does not end is an error, not white space: t stays before it then. */
static bool
skip_comment(struct text *t)
{
	const char *begin = t->at;
	unsigned depth = 0;

	do {
		if (t->end - t->at >= 2 && t->at[0] == '/' && t->at[1] == '*') {
			depth++;
			t->at += 2;
		} else if (t->end - t->at >= 2 && t->at[0] == '*' && t->at[1] == '/') {
			depth--;
			t->at += 2;
		} else
			t->at++;
	} while (depth > 0 && t->at < t->end);
	if (depth > 0)
		t->at = begin;
	return depth == 0;
}

static void
skip_space(struct text *t)
{
	while (t->at < t->end) {
		if (strchr(" \t\n\r\f\v", *t->at) != NULL && *t->at != '\0')
			t->at++;
		else if (t->end - t->at >= 2 && t->at[0] == '-' && t->at[1] == '-')
			while (t->at < t->end && *t->at != '\n' && *t->at != '\r')
				t->at++;
		else if (t->end - t->at < 2 || t->at[0] != '/' || t->at[1] != '*' || !skip_comment(t))
			return;
	}
}

static bool
is_word_byte(char b)
{
	return isalnum((unsigned char)b) || b == '_' || b == '$' || (unsigned char)b >= 0x80;
}

/* True if the next word is this one (a keyword: any case); it is skipped then. */
static bool
take_word(struct text *t, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(t->end - t->at) < len || strncasecmp(t->at, word, len) != 0)
		return false;
	if (t->at + len < t->end && is_word_byte(t->at[len]))
		return false;
	t->at += len;
	skip_space(t);
	return true;
}

static bool
take_quoted(struct text *t, char *name)
{
	size_t len = 0;

	for (t->at++; t->at < t->end; t->at++) {
		if (*t->at == '"' && (t->at + 1 == t->end || t->at[1] != '"')) {
			t->at++;
			name[len] = '\0';
			return len > 0;
		}
		if (*t->at == '"')
			t->at++;
		if (len < DEALLOCATE_NAME_MAX - 1)
			name[len++] = *t->at;
	}
	return false;
}

static bool
take_name(struct text *t, char *name)
{
	size_t len = 0;

	if (t->at < t->end && *t->at == '"')
		return take_quoted(t, name);
	if (t->at == t->end || !is_word_byte(*t->at) || isdigit((unsigned char)*t->at) || *t->at == '$')
		return false;
	for (; t->at < t->end && is_word_byte(*t->at); t->at++)
		if (len < DEALLOCATE_NAME_MAX - 1)
			name[len++] = (char)((unsigned char)*t->at < 0x80 ? tolower((unsigned char)*t->at) : *t->at);
	name[len] = '\0';
	return true;
}

enum deallocate_kind
deallocate_parse(const char *sql, size_t len, char name[static DEALLOCATE_NAME_MAX])
{
	struct text t = { sql, sql + len };

	/* Nearly every text is told by its first letter. */
	if (len > 0 && isalpha((unsigned char)*sql) && *sql != 'd' && *sql != 'D')
		return DEALLOCATE_NONE;
	while (t.at < t.end && (*t.at == ';' || strchr(" \t\n\r\f\v/-", *t.at) != NULL) && *t.at != '\0') {
		const char *was = t.at;

		skip_space(&t);
		if (t.at < t.end && *t.at == ';')
			t.at++;
		if (t.at == was)
			return DEALLOCATE_NONE;
	}
	if (take_word(&t, "discard"))
		return take_word(&t, "all") ? DEALLOCATE_ALL : DEALLOCATE_NONE;
	if (!take_word(&t, "deallocate"))
		return DEALLOCATE_NONE;
	if (take_word(&t, "prepare") && (t.at == t.end || *t.at == ';'))
		memcpy(name, "prepare", sizeof("prepare")); /* no keyword here, but a name */
	else if (take_word(&t, "all"))
		return DEALLOCATE_ALL;
	else if (!take_name(&t, name))
		return DEALLOCATE_NONE;
	skip_space(&t);
	while (t.at < t.end && *t.at == ';') {
		t.at++;
		skip_space(&t);
	}
	return t.at == t.end ? DEALLOCATE_NAME : DEALLOCATE_NONE;
}
