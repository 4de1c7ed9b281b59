/* src/telemetry/slowlog_parameters.c - the values bound to $1, $2, ... as PostgreSQL's log writes them. */
#include "telemetry/slowlog_state.h"

#include "wire/fields.h"
#include "wire/frame.h"

#include <stdio.h>
#include <string.h>

#define VALUE_MAX 64 /* bytes of a value */

struct text {
	char *out;
	size_t cap, len;
};

static void
put(struct text *t, const char *bytes, size_t len)
{
	if (len >= t->cap - t->len)
		len = t->cap - t->len - 1;
	memcpy(t->out + t->len, bytes, len);
	t->len += len;
}

static void
put_str(struct text *t, const char *word)
{
	put(t, word, strlen(word));
}

/* No format code: all are text; one: it is all values'; else each has its own. The names were found by the caller. */
static bool
is_binary(const uint8_t *bind, size_t len, unsigned i)
{
	const char *portal, *statement;
	size_t at;
	unsigned count;

	if (!fields_bind(bind, len, &portal, &statement, &at))
		return false;
	count = wire_u16(bind + at);
	if (count == 0)
		return false;
	return wire_u16(bind + at + 2 + 2 * (count == 1 ? 0 : i < count ? i : count - 1)) == 1;
}

static void
put_value(struct text *t, const uint8_t *value, size_t len, bool is_hex)
{
	size_t shown = len < VALUE_MAX ? len : VALUE_MAX;

	if (value == NULL) {
		put_str(t, "NULL");
		return;
	}
	put_str(t, "'");
	if (is_hex) {
		char hex[3];

		put_str(t, "\\x");
		for (size_t i = 0; i < shown; i++) {
			snprintf(hex, sizeof(hex), "%02x", value[i]);
			put(t, hex, 2);
		}
	} else {
		for (size_t i = 0; i < shown; i++)
			put(t, value[i] == '\'' ? "''" : (const char *)&value[i], value[i] == '\'' ? 2 : 1);
	}
	put_str(t, shown < len ? "...'" : "'");
}

size_t
slowlog_put_parameters(const uint8_t *bind, size_t len, char *out, size_t cap)
{
	struct text t = { out, cap, 0 };
	struct bind_values values;
	const uint8_t *value;
	char number[16];
	size_t value_len;
	unsigned i = 0;

	if (fields_bind_values(bind, len, &values))
		while (fields_bind_next(&values, &value, &value_len)) {
			snprintf(number, sizeof(number), "%s$%u = ", i > 0 ? ", " : "", i + 1);
			put_str(&t, number);
			put_value(&t, value, value_len, is_binary(bind, len, i));
			i++;
		}
	if (values.left > 0)
		put_str(&t, i > 0 ? ", ..." : "...");
	out[t.len] = '\0';
	return t.len;
}
