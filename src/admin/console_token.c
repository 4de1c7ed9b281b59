/* src/admin/console_token.c - see console_command.h. Words and quotes end as in PostgreSQL. */
#include "admin/console_command.h"

/* The first character alone, so that signs stand for themselves, and an E before a string for a word. */
static enum token_kind
take_one(struct sql_lexer *lexer, struct sql_token *t, enum token_kind kind)
{
	lexer->pos = (size_t)(t->at - lexer->sql) + 1;
	lexer->is_after_escape_string = false;
	t->len = 1;
	return kind;
}

static enum token_kind
kind_of(struct sql_lexer *lexer, struct sql_token *t)
{
	char first = t->kind == SQL_END ? '\0' : *t->at;

	switch (t->kind) {
	case SQL_END:
		return TOKEN_END;
	case SQL_WORD:
		return TOKEN_WORD;
	case SQL_NUMBER:
		return first == '.' ? take_one(lexer, t, TOKEN_SIGN) : TOKEN_NUMBER;
	case SQL_QUOTED:
		return first == '"' ? TOKEN_NAME : take_one(lexer, t, TOKEN_WORD);
	case SQL_STRING:
		if (first == '\'')
			return TOKEN_STRING;
		break;
	default:
		break;
	}
	return take_one(lexer, t, (first | 0x20) >= 'a' && (first | 0x20) <= 'z' ? TOKEN_WORD : TOKEN_SIGN);
}

int
token_next(struct sql_lexer *lexer, struct token *out, struct fail *why)
{
	struct sql_token t = sql_next(lexer);
	size_t len = 0, i = 0;
	bool is_quoted;

	if (t.kind == SQL_UNTERMINATED && (*t.at == '"' || *t.at == '\''))
		return fail_set(why, "42601", "unterminated quoted %s", *t.at == '"' ? "name" : "string");
	if (t.kind == SQL_UNTERMINATED && (*t.at == '/' || *t.at == '-' || *t.at <= ' '))
		return fail_set(why, "42601", "unterminated /* comment");
	out->kind = kind_of(lexer, &t);
	is_quoted = out->kind == TOKEN_NAME || out->kind == TOKEN_STRING;
	for (i = is_quoted; i < t.len - is_quoted && len < TOKEN_TEXT_MAX; i++) {
		out->text[len++] = t.at[i];
		i += is_quoted && t.at[i] == *t.at; /* one inside is written twice */
	}
	out->text[len] = '\0';
	out->is_cut = i < t.len - is_quoted;
	return 0;
}
