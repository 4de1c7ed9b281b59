#include "telemetry/fingerprint.h"

#include "base/escape.h"
#include "base/text.h"

void
normal_init(struct normal_text *n, char *text, size_t text_cap, bool keeps_literals)
{
	memset(n, 0, offsetof(struct normal_text, key));
	n->text = text;
	n->text_cap = text_cap;
	n->keeps_literals = keeps_literals;
}

struct normal_mark
normal_here(const struct normal_text *n)
{
	return (struct normal_mark){ n->text_len, n->key_len, n->is_text_full };
}

void
normal_go_back(struct normal_text *n, struct normal_mark to)
{
	n->key_len = to.key_len;
	if (n->keeps_literals)
		return;
	n->text_len = to.text_len;
	n->is_text_full = to.is_text_full;
}

static void
text_put(struct normal_text *n, const char *bytes, size_t len)
{
	if (n->is_text_full || len > n->text_cap - 1 - n->text_len) {
		n->is_text_full = true;
		return;
	}
	memcpy(n->text + n->text_len, bytes, len);
	n->text_len += len;
}

void
normal_put_rest(struct normal_text *n, const struct sql_token *t)
{
	if (t->after_space && n->text_len > 0)
		text_put(n, " ", 1);
	if (t->len <= n->text_cap - 1 - n->text_len && text_is_ascii(t->at, t->len) &&
	    memchr(t->at, '\0', t->len) == NULL)
		text_put(n, t->at, t->len);
	else {
		/* Copies character by character; bytes that are not UTF-8, and NUL, are replaced. */
		for (size_t i = 0; i < t->len && !n->is_text_full;) {
			size_t one_len = escape_utf8_len(t->at + i, t->len - i);

			if (one_len == 0 || t->at[i] == '\0')
				text_put(n, UTF8_REPLACEMENT, 3);
			else
				text_put(n, t->at + i, one_len);
			i += one_len > 0 ? one_len : 1;
		}
	}
}

void
normal_put_key(struct normal_text *n, const char *bytes, size_t len, bool fold_case)
{
	char *to = n->key + n->key_len;

	for (size_t i = 0; i < len; i++)
		to[i] = fold_case && bytes[i] >= 'A' && bytes[i] <= 'Z' ? (char)(bytes[i] | 0x20) : bytes[i];
	to[len] = '\0';
	n->key_len += len + 1;
}

void
normal_put(struct normal_text *n, const struct sql_token *t)
{
	normal_put_rest(n, t);
	normal_put_key(n, t->at, t->len, t->kind == SQL_WORD);
}

/* In the key a literal is an empty token, as no other token is empty. */
void
normal_put_literal(struct normal_text *n, const struct sql_token *t)
{
	struct sql_token mark = { .at = "?", .len = 1, .after_space = t->after_space };

	normal_put_rest(n, n->keeps_literals ? t : &mark);
	normal_put_key(n, "", 0, false);
}

void
normal_put_list(struct normal_text *n)
{
	if (!n->keeps_literals)
		text_put(n, "?", 1);
	normal_put_key(n, "", 0, false);
}
