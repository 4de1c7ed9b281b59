/* src/admin/console_token.c - see console_command.h. Words and quotes end as in PostgreSQL. */
#include "admin/console_command.h"
#include "base/blank.h"

#include <string.h>

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Bytes of other alphabets are letters, whatever they mean. */
static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool
looks_at(const struct token_reader *r, const char *what)
{
	size_t len = strlen(what);

	return (size_t)(r->end - r->at) >= len && memcmp(r->at, what, len) == 0;
}

/* Skips a comment and those nested in it, as PostgreSQL does. */
static int
skip_comment(struct token_reader *r, struct fail *why)
{
	unsigned depth = 0;

	do {
		if (looks_at(r, "/*")) {
			depth++;
			r->at += 2;
		} else if (looks_at(r, "*/")) {
			depth--;
			r->at += 2;
		} else if (r->at < r->end)
			r->at++;
		else
			return fail_set(why, "42601", "unterminated /* comment");
	} while (depth > 0);
	return 0;
}

static int
token_skip_blanks(struct token_reader *r, struct fail *why)
{
	for (;;) {
		if (r->at < r->end && is_space(*r->at))
			r->at++;
		else if (looks_at(r, "--")) {
			const char *line_end = memchr(r->at, '\n', (size_t)(r->end - r->at));

			r->at = line_end != NULL ? line_end : r->end;
		} else if (!looks_at(r, "/*"))
			return 0;
		else if (skip_comment(r, why) < 0)
			return -1;
	}
}

static void
token_add(struct token *t, size_t *len, char c)
{
	if (*len == TOKEN_TEXT_MAX) {
		t->is_cut = true;
		return;
	}
	t->text[(*len)++] = c;
	t->text[*len] = '\0';
}

/* A quote inside is written twice. */
static int
quoted(struct token_reader *r, struct token *out, struct fail *why)
{
	char quote = *r->at++;
	size_t len = 0;

	for (; r->at < r->end; r->at++) {
		if (*r->at == quote && (r->at + 1 == r->end || r->at[1] != quote)) {
			r->at++;
			return 0;
		}
		if (*r->at == quote)
			r->at++;
		token_add(out, &len, *r->at);
	}
	return fail_set(why, "42601", "unterminated quoted %s", quote == '"' ? "name" : "string");
}

int
token_next(struct token_reader *r, struct token *out, struct fail *why)
{
	size_t len = 0;

	out->kind = TOKEN_END;
	out->is_cut = false;
	out->text[0] = '\0';
	if (token_skip_blanks(r, why) < 0)
		return -1;
	if (r->at == r->end)
		return 0;
	if (*r->at == '"' || *r->at == '\'') {
		out->kind = *r->at == '"' ? TOKEN_NAME : TOKEN_STRING;
		return quoted(r, out, why);
	}
	if (is_letter(*r->at)) {
		out->kind = TOKEN_WORD;
		while (r->at < r->end && (is_letter(*r->at) || is_digit(*r->at) || *r->at == '$'))
			token_add(out, &len, *r->at++);
		return 0;
	}
	if (is_digit(*r->at)) {
		out->kind = TOKEN_NUMBER;
		while (r->at < r->end && (is_digit(*r->at) || is_letter(*r->at) || *r->at == '.'))
			token_add(out, &len, *r->at++);
		return 0;
	}
	out->kind = TOKEN_SIGN;
	token_add(out, &len, *r->at++);
	return 0;
}
