/*
 * src/telemetry/sqlcommenter.c - see fingerprint.h.
 *
 * A comment reads key='value',key='value'. Keys and values are URL-encoded; old versions of one ORM forgot the quotes.
 * Hexadecimal digits and hyphens need no encoding, so a value that has encoded characters is not a traceparent.
 */
#include "telemetry/fingerprint.h"

#include <string.h>

#define KEY "traceparent="
#define KEY_LEN (sizeof(KEY) - 1)
#define ZEROS "00000000000000000000000000000000" /* as many zeros as a trace has digits */

static bool
is_lower_hex(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f')))
			return false;
	return true;
}

/* W3C trace context, 3.2: lower case only; version ff and all-zero ids are invalid. */
static bool
is_well_formed(const char *v)
{
	const char *trace = v + TRACEPARENT_TRACE_AT, *span = v + TRACEPARENT_SPAN_AT;

	return is_lower_hex(v, 2) && v[2] == '-' && is_lower_hex(trace, TRACEPARENT_TRACE_LEN) && v[35] == '-' &&
	       is_lower_hex(span, TRACEPARENT_SPAN_LEN) && v[52] == '-' && is_lower_hex(v + 53, 2) &&
	       memcmp(v, "ff", 2) != 0 && memcmp(trace, ZEROS, TRACEPARENT_TRACE_LEN) != 0 &&
	       memcmp(span, ZEROS, TRACEPARENT_SPAN_LEN) != 0;
}

/* Returns true if a value ends here: at its closing quote, or, if it has no quotes, at a comma, a space or the end of
 * the comment. */
static bool
ends_value(const char *at, size_t len, bool is_quoted)
{
	if (is_quoted)
		return len > 0 && at[0] == '\'';
	return len == 0 || at[0] == ',' || at[0] == ' ';
}

void
sqlcommenter_traceparent(const char *comment, size_t len, char out[TRACEPARENT_LEN + 1])
{
	const char *at = comment, *end = comment + len;

	out[0] = '\0';
	while (at < end && (at = memmem(at, (size_t)(end - at), KEY, KEY_LEN)) != NULL) {
		bool is_key = at == comment || strchr(", \t\n", at[-1]) != NULL, is_quoted;

		at += KEY_LEN;
		is_quoted = at < end && at[0] == '\'';
		at += is_quoted;
		if (!is_key || (size_t)(end - at) < TRACEPARENT_LEN || !is_well_formed(at) ||
		    !ends_value(at + TRACEPARENT_LEN, (size_t)(end - at) - TRACEPARENT_LEN, is_quoted))
			continue;
		memcpy(out, at, TRACEPARENT_LEN);
		out[TRACEPARENT_LEN] = '\0';
		return;
	}
}
