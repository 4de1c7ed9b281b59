/* tests/fuzz/session_text.c - see session_text.h. */
#include "session_text.h"

#include "wire/messages.h"

#include <stdio.h>
#include <string.h>

char
text_token_at(const void *bytes, size_t len)
{
	const char *c = bytes;

	if (len < 3 || c[0] != '@' || c[1] != '@' || c[2] < 'A' || c[2] >= 'A' + TEXT_CLIENTS)
		return 0;
	return c[2];
}

void
text_tokens(const void *bytes, size_t len, char tokens[static TOKENS_MAX])
{
	const char *at = bytes, *end = at + len, *over;
	size_t used = strlen(tokens);

	while (at < end && (at = memchr(at, '@', (size_t)(end - at))) != NULL) {
		over = text_token_at(at, (size_t)(end - at)) != 0 ? memchr(at, '!', (size_t)(end - at)) : NULL;
		if (over == NULL) {
			at++;
			continue;
		}
		over++;
		if ((size_t)(over - at) >= TOKENS_MAX - used)
			return;
		memcpy(tokens + used, at, (size_t)(over - at));
		used += (size_t)(over - at);
		tokens[used] = '\0';
		at = over;
	}
}

const char *
text_without_mark(const char *sql, struct buf *copy)
{
	const char *at = strstr(sql, MESSAGE_OURS);

	if (at == NULL)
		return sql;
	buf_put(copy, sql, (size_t)(at - sql));
	buf_put_str(copy, at + strlen(MESSAGE_OURS));
	return (const char *)copy->bytes;
}

static int
hex(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

void
text_unescape(struct buf *out, const char *text, size_t len, char letter, unsigned *sequence)
{
	static const char names[] = "01234567nrts\\", bytes[] = "\0\1\2\3\4\5\6\7\n\r\t \\";

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '~' && letter != 0) {
			buf_printf(out, "@@%c%u!", letter, ++*sequence);
			continue;
		}
		if (c == '\\' && i + 3 < len && text[i + 1] == 'x' && hex(text[i + 2]) >= 0 && hex(text[i + 3]) >= 0) {
			c = (char)(hex(text[i + 2]) << 4 | hex(text[i + 3]));
			i += 3;
		} else if (c == '\\' && i + 1 < len && text[i + 1] != '\0' && strchr(names, text[i + 1]) != NULL)
			c = bytes[strchr(names, text[++i]) - names];
		buf_put_u8(out, c == '@' ? '?' : (uint8_t)c);
	}
}

size_t
text_words(char *text, char **words, size_t max)
{
	size_t count = 0;

	for (;;) {
		while (*text == ' ')
			text++;
		if (*text == '\0')
			return count;
		words[count++] = text;
		if (count == max)
			return count;
		text += strcspn(text, " ");
		if (*text != '\0')
			*text++ = '\0';
	}
}

static uint16_t
type_len(uint32_t oid)
{
	switch (oid) {
	case 20:
		return 8;
	case 23:
		return 4;
	default:
		return 0xffff; /* of variable length */
	}
}

void
text_row_description(struct buf *b, const char *const *names, const uint32_t *types, size_t count)
{
	size_t begun = message_begin(b, 'T');

	buf_put_u16(b, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		buf_put_str(b, names[i]);
		buf_put_u32(b, 0);
		buf_put_u16(b, 0);
		buf_put_u32(b, types[i]);
		buf_put_u16(b, type_len(types[i]));
		buf_put_u32(b, 0xffffffff);
		buf_put_u16(b, 0);
	}
	message_end(b, begun);
}

void
text_data_row(struct buf *b, const char *const *values, size_t count)
{
	size_t begun = message_begin(b, 'D');

	buf_put_u16(b, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		if (values[i] == NULL) {
			buf_put_u32(b, 0xffffffff);
			continue;
		}
		buf_put_u32(b, (uint32_t)strlen(values[i]));
		buf_put(b, values[i], strlen(values[i]));
	}
	message_end(b, begun);
}
