/* src/sql/listen_text.c - see recognise.h. */
#include "sql/recognise.h"

#include "base/blank.h"

#include <string.h>
#include <strings.h>

#define SUBSTITUTE "UNLISTEN/*LISTEN*/"

/* Bytes of the comment at sql, nested ones too; 0: none, or one that does not end. */
static size_t
comment_len(const char *sql, size_t len)
{
	unsigned depth = 0;
	size_t at = 0;

	if (len < 2)
		return 0;
	if (sql[0] == '-' && sql[1] == '-') {
		while (at < len && sql[at] != '\n' && sql[at] != '\r')
			at++;
		return at;
	}
	if (sql[0] != '/' || sql[1] != '*')
		return 0;
	while (at + 1 < len) {
		if (sql[at] == '/' && sql[at + 1] == '*')
			depth++;
		else if (sql[at] == '*' && sql[at + 1] == '/')
			depth--;
		else {
			at++;
			continue;
		}
		at += 2;
		if (depth == 0)
			return at;
	}
	return 0;
}

/* Returns where the first word begins: behind white space, comments and empty statements. */
static size_t
first_word(const char *sql, size_t len)
{
	size_t at = 0, n;

	while (at < len) {
		if (is_space(sql[at]) || sql[at] == ';')
			at++;
		else if ((n = comment_len(sql + at, len - at)) > 0)
			at += n;
		else
			break;
	}
	return at;
}

bool
listen_text_substitute(const char *sql, size_t len, struct buf *out)
{
	static const size_t word_len = sizeof("LISTEN") - 1;
	size_t at = first_word(sql, len);

	if (len - at < word_len || strncasecmp(sql + at, "LISTEN", word_len) != 0)
		return false;
	buf_put(out, sql, at);
	buf_put(out, SUBSTITUTE, sizeof(SUBSTITUTE) - 1);
	buf_put(out, sql + at + word_len, len - at - word_len);
	return true;
}

bool
listen_text_is_substitute(const char *sql, size_t len)
{
	size_t at = first_word(sql, len);

	return len - at >= sizeof(SUBSTITUTE) - 1 && memcmp(sql + at, SUBSTITUTE, sizeof(SUBSTITUTE) - 1) == 0;
}

void
listen_text_quote(struct buf *out, const char *channel)
{
	buf_put_u8(out, '"');
	for (; *channel != '\0'; channel++) {
		if (*channel == '"')
			buf_put_u8(out, '"');
		buf_put_u8(out, (uint8_t)*channel);
	}
	buf_put_u8(out, '"');
}
