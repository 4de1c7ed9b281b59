/* src/base/json.c - see escape.h. */
#include "base/clock.h"
#include "base/escape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TAIL_LEN sizeof("}\n") /* line_put() keeps room for this end of the object and its terminator */

/* Writes a time in UTC. Returns the length. */
static size_t
write_utc(uint64_t wall_us, const char *fmt, char *out)
{
	time_t t = (time_t)(wall_us / US_PER_S);
	struct tm tm = { 0 };

	gmtime_r(&t, &tm);
	return strftime(out, BASE_TIMESTAMP_LEN, fmt, &tm);
}

void
base_timestamp_iso(uint64_t wall_us, char out[BASE_TIMESTAMP_LEN])
{
	size_t n = write_utc(wall_us, "%Y-%m-%dT%H:%M:%S", out);

	snprintf(out + n, BASE_TIMESTAMP_LEN - n, ".%06lluZ", wall_us % US_PER_S);
}

void
base_timestamp_text(uint64_t wall_us, char out[BASE_TIMESTAMP_LEN])
{
	size_t n = write_utc(wall_us, "%Y-%m-%d %H:%M:%S", out);

	snprintf(out + n, BASE_TIMESTAMP_LEN - n, ".%03llu UTC", wall_us % US_PER_S / US_PER_MS);
}

static void
line_put(struct json_line *l, const char *bytes, size_t len)
{
	if (l->is_too_long || len > l->cap - TAIL_LEN - l->len) {
		l->is_too_long = true;
		return;
	}
	memcpy(l->out + l->len, bytes, len);
	l->len += len;
}

static void
put_str(struct json_line *l, const char *text)
{
	line_put(l, text, strlen(text));
}

/* Begins a field. Returns the field's position, for end_field(). Keys are our own and need no escaping. */
static size_t
begin_field(struct json_line *l, const char *key)
{
	size_t mark = l->len;

	l->is_too_long = false;
	put_str(l, l->len > 1 ? ",\"" : "\"");
	put_str(l, key);
	put_str(l, "\":");
	return mark;
}

static void
end_field(struct json_line *l, size_t mark)
{
	if (l->is_too_long)
		l->len = mark;
}

void
json_line_begin(struct json_line *l, char *out, size_t cap)
{
	*l = (struct json_line){ .out = out, .cap = cap };
	put_str(l, "{");
}

/* Writes a number, true, false or null. */
static void
line_word(struct json_line *l, const char *key, const char *word)
{
	size_t mark = begin_field(l, key);

	put_str(l, word);
	end_field(l, mark);
}

void
json_line_bytes(struct json_line *l, const char *key, const char *value, size_t len)
{
	size_t mark, used;
	char one[ESCAPE_MAX];

	if (value == NULL) {
		line_word(l, key, "null");
		return;
	}
	mark = begin_field(l, key);
	put_str(l, "\"");
	for (size_t i = 0; i < len && !l->is_too_long; i += used)
		line_put(l, one, escape_char(ESCAPE_JSON, value + i, len - i, one, &used));
	put_str(l, "\"");
	end_field(l, mark);
}

void
json_line_str(struct json_line *l, const char *key, const char *value)
{
	json_line_bytes(l, key, value, value != NULL ? strlen(value) : 0);
}

void
json_line_time(struct json_line *l, const char *key, uint64_t wall_us)
{
	char text[BASE_TIMESTAMP_LEN];

	base_timestamp_iso(wall_us, text);
	json_line_str(l, key, text);
}

void
json_line_u64(struct json_line *l, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	line_word(l, key, text);
}

void
json_line_bool(struct json_line *l, const char *key, bool value)
{
	line_word(l, key, value ? "true" : "false");
}

void
json_line_ms(struct json_line *l, const char *key, uint64_t us)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu.%03u", us / US_PER_MS, (unsigned)(us % US_PER_MS));
	line_word(l, key, text);
}

void
json_line_ms_short(struct json_line *l, const char *key, uint64_t us)
{
	if (us % US_PER_MS == 0)
		json_line_u64(l, key, us / US_PER_MS);
	else
		json_line_ms(l, key, us);
}

size_t
json_line_end(struct json_line *l)
{
	memcpy(l->out + l->len, "}\n", TAIL_LEN);
	return l->len += TAIL_LEN - 1;
}

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
