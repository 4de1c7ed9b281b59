/* src/base/json.c - see escape.h. */
#include "base/escape.h"

#include <string.h>

void
json_put_string(struct buf *to, const char *s)
{
	char character[ESCAPE_MAX];
	size_t len, used;

	if (s == NULL) {
		buf_printf(to, "null");
		return;
	}
	buf_put_u8(to, '"');
	for (len = strlen(s); len > 0; s += used, len -= used)
		buf_put(to, character, escape_char(ESCAPE_JSON, s, len, character, &used));
	buf_put_u8(to, '"');
}
