/* src/session/known.c - see known.h. LISTEN and UNLISTEN only. */
#include "session/known.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct text {
	const char *at, *end;
};

static void
skip(struct text *t, bool semicolons)
{
	unsigned depth = 0;

	while (t->at < t->end) {
		size_t left = (size_t)(t->end - t->at);

		if (left >= 2 && t->at[0] == '/' && t->at[1] == '*') {
			depth++;
			t->at += 2;
		} else if (depth > 0 && left >= 2 && t->at[0] == '*' && t->at[1] == '/') {
			depth--;
			t->at += 2;
		} else if (depth > 0 || (*t->at != '\0' && strchr(" \t\n\r\f\v", *t->at) != NULL) ||
			   (semicolons && *t->at == ';'))
			t->at++;
		else if (left >= 2 && t->at[0] == '-' && t->at[1] == '-')
			while (t->at < t->end && *t->at != '\n' && *t->at != '\r')
				t->at++;
		else
			return;
	}
}

static bool
is_word_byte(char b)
{
	return isalnum((unsigned char)b) || b == '_' || b == '$' || (unsigned char)b >= 0x80;
}

static bool
take_word(struct text *t, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(t->end - t->at) < len || strncasecmp(t->at, word, len) != 0 ||
	    (t->at + len < t->end && is_word_byte(t->at[len])))
		return false;
	t->at += len;
	skip(t, false);
	return true;
}

static bool
take_name(struct text *t, char *name)
{
	size_t len = 0;
	bool is_quoted = t->at < t->end && *t->at == '"';

	if (t->at == t->end || (!is_quoted && (!is_word_byte(*t->at) || isdigit((unsigned char)*t->at))))
		return false;
	for (t->at += is_quoted; t->at < t->end; t->at++) {
		char b = *t->at;

		if (is_quoted && b == '"' && (t->at + 1 == t->end || t->at[1] != '"'))
			break;
		if (!is_quoted && !is_word_byte(b))
			break;
		if (is_quoted && b == '"')
			t->at++;
		if (!is_quoted && b >= 'A' && b <= 'Z')
			b = (char)(b + 32);
		if (len < KNOWN_NAME_MAX - 1)
			name[len++] = b;
	}
	if (is_quoted && t->at++ == t->end)
		return false;
	name[len] = '\0';
	return len > 0;
}

bool
known_parse(struct known_text *text, unsigned options, const char *sql, size_t len)
{
	struct text t = { sql, sql + len };
	struct known *k = &text->statements[0];

	(void)options;
	text->count = 0;
	text->is_all = false;
	skip(&t, true);
	if (take_word(&t, "unlisten")) {
		k->kind = KNOWN_UNLISTEN;
		if (t.at < t.end && *t.at == '*') {
			k->kind = KNOWN_UNLISTEN_ALL;
			t.at++;
		} else if (!take_name(&t, k->name))
			return false;
	} else if (take_word(&t, "listen")) {
		k->kind = KNOWN_LISTEN;
		if (!take_name(&t, k->name))
			return false;
	} else
		return false;
	skip(&t, true);
	if (t.at < t.end)
		return false;
	text->count = 1;
	text->is_all = true;
	return true;
}
