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
		for (; fields_bind_next(&values, &value, &value_len); i++) {
			size_t shown = value_len < VALUE_MAX ? value_len : VALUE_MAX;
			bool is_hex = is_binary(bind, len, i);
			char hex[3];

			snprintf(number, sizeof(number), "%s$%u = ", i > 0 ? ", " : "", i + 1);
			put_str(&t, number);
			if (value == NULL) {
				put_str(&t, "NULL");
				continue;
			}
			put_str(&t, is_hex ? "'\\x" : "'");
			for (size_t k = 0; k < shown; k++) {
				if (is_hex) {
					snprintf(hex, sizeof(hex), "%02x", value[k]);
					put_str(&t, hex);
				} else
					put(&t, value[k] == '\'' ? "''" : (const char *)&value[k],
					    value[k] == '\'' ? 2 : 1);
			}
			put_str(&t, shown < value_len ? "...'" : "'");
		}
	if (values.left > 0)
		put_str(&t, i > 0 ? ", ..." : "...");
	out[t.len] = '\0';
	return t.len;
}
