#include "base/escape.h"

#include <string.h>

/* Follows Unicode's table 3-7, which excludes overlong forms, surrogates and everything above U+10FFFF. */
size_t
escape_utf8_len(const char *bytes, size_t len)
{
	const uint8_t *b = (const uint8_t *)bytes;
	uint8_t low = b[0] == 0xe0 ? 0xa0 : b[0] == 0xf0 ? 0x90 : 0x80;
	uint8_t high = b[0] == 0xed ? 0x9f : b[0] == 0xf4 ? 0x8f : 0xbf;
	size_t want;

	if (b[0] < 0x80)
		return 1;
	if (b[0] < 0xc2 || b[0] > 0xf4)
		return 0;
	want = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
	if (len < want || b[1] < low || b[1] > high)
		return 0;
	for (size_t i = 2; i < want; i++)
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	return want;
}

bool
escape_is_utf8(const char *bytes, size_t len)
{
	size_t n = 1;

	for (size_t at = 0; at < len && n > 0; at += n)
		n = escape_utf8_len(bytes + at, len - at);
	return n > 0;
}

static size_t
escape_put(char *out, const char *text)
{
	size_t len = strlen(text);

	memcpy(out, text, len);
	return len;
}

/* Escapes a control character (C0, DEL, or C1 with two bytes in UTF-8), on which a terminal would act. */
static size_t
put_control(enum escape_style style, unsigned code, char *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = escape_put(out, style == ESCAPE_JSON ? "\\u00" : "\\x");

	out[n++] = digits[code >> 4 & 15];
	out[n++] = digits[code & 15];
	return n;
}

static const char *
find_short_escape(enum escape_style style, char c)
{
	static const char special[] = "\"\\\n\r\t", *const escapes[] = { "\\\"", "\\\\", "\\n", "\\r", "\\t" };
	static const size_t counts[] = { [ESCAPE_TEXT] = 0, [ESCAPE_JSON] = 5, [ESCAPE_LABEL] = 3 };
	const char *at = memchr(special, c, counts[style]);

	return at == NULL ? NULL : escapes[at - special];
}

size_t
escape_char(enum escape_style style, const char *bytes, size_t len, char out[ESCAPE_MAX], size_t *used)
{
	unsigned char first = (unsigned char)bytes[0];
	size_t n = escape_utf8_len(bytes, len);
	const char *text = find_short_escape(style, bytes[0]);

	*used = n > 0 ? n : 1;
	if (n == 0)
		return escape_put(out, UTF8_REPLACEMENT);
	if (text != NULL)
		return escape_put(out, text);
	if (style != ESCAPE_LABEL && (first < 0x20 || first == 0x7f))
		return put_control(style, first, out);
	if (style != ESCAPE_LABEL && first == 0xc2 && (unsigned char)bytes[1] < 0xa0)
		return put_control(style, (unsigned char)bytes[1], out);
	memcpy(out, bytes, n);
	return n;
}

size_t
escape_text(enum escape_style style, const char *bytes, size_t len, char *out, size_t cap)
{
	size_t n = 0, used;
	char one[ESCAPE_MAX];

	for (size_t i = 0; i < len; i += used) {
		size_t one_len = escape_char(style, bytes + i, len - i, one, &used);

		if (one_len >= cap - n)
			break;
		memcpy(out + n, one, one_len);
		n += one_len;
	}
	out[n] = '\0';
	return n;
}
