/* src/modules/slowlog/slowlog_line.c - see slowlog.h. docs/slow-log.md explains the fields to users. */
#include "base/escape.h"
#include "base/text.h"
#include "modules/slowlog/slowlog.h"
#include "wire/fields.h"
#include "wire/frame.h"

#include <inttypes.h>
#include <stdio.h>

/* --- the values bound to $1, $2, ... as PostgreSQL's log writes them --- */

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

/* Returns true if value i is binary. Without format codes, all values are text; a single code is for all values;
 * otherwise each value has a code. The caller has checked that the body's names and codes are complete. */
static bool
is_binary(const uint8_t *bind, size_t len, unsigned i)
{
	const char *portal, *statement;
	size_t at;
	unsigned count;

	if (!fields_read_bind(bind, len, &portal, &statement, &at))
		return false;
	count = wire_u16(bind + at);
	if (count == 0)
		return false;
	return wire_u16(bind + at + 2 + 2 * (count == 1 ? 0 : i < count ? i : count - 1)) == 1;
}

#define PARAMETERS_MAX 1024

/* Writes "$1 = '42', $2 = NULL" for a Bind's body, which may be truncated; writes at most VALUE_MAX bytes of each
 * value. Returns the length. */
static size_t
put_parameters(const uint8_t *bind, size_t len, char *out, size_t cap)
{
	struct text t = { out, cap, 0 };
	struct value_list values;
	const uint8_t *value;
	char number[16];
	size_t value_len;
	unsigned i = 0;

	if (fields_begin_values(bind, len, &values))
		for (; fields_next_value(&values, &value, &value_len); i++) {
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

#define NAME_MAX_LEN 256 /* bytes of a name that clients choose */

static void
put_name(struct json_line *l, const char *key, const char *name)
{
	json_line_bytes(l, key, name, name != NULL ? strnlen(name, NAME_MAX_LEN) : 0);
}

/* Puts the field, whose value is null if name is NULL or empty. */
static void
put_name_or_null(struct json_line *l, const char *key, const char *name)
{
	put_name(l, key, name != NULL && name[0] != '\0' ? name : NULL);
}

static void
put_query(struct json_line *l, const struct request_report *r, const struct report_sql *sql)
{
	char hash[20], parameters[PARAMETERS_MAX];

	snprintf(hash, sizeof(hash), "%016" PRIx64, sql->fp.hash);
	json_line_str(l, "fingerprint", r->query != NULL ? hash : NULL);
	json_line_str(l, "query", sql->shown);
	if (sql->shown == NULL)
		return;
	if (sql->fp.is_truncated || r->is_query_cut)
		json_line_bool(l, "query_truncated", true);
	if (r->bind != NULL)
		json_line_bytes(l, "parameters", parameters,
				put_parameters(r->bind, r->bind_len, parameters, sizeof(parameters)));
}

static size_t
put_fields(const struct request_report *r, const struct report_sql *sql, uint64_t suppressed, char *out, size_t out_cap)
{
	struct json_line l;

	json_line_begin(&l, out, out_cap);
	json_line_time(&l, "ts", r->wall_us);
	json_line_str(&l, "event", r->event);
	json_line_str(&l, "level",
		      strcmp(r->event, "sampled_query") == 0					? "info"
		      : text_is_one_of(r->event, "slow_query client_gone canceled unsupported") ? "warning"
												: "error");
	json_line_ms(&l, "duration_ms", r->duration_us);
	json_line_ms(&l, "wait_ms", r->phase_us[PHASE_WAIT]);
	json_line_ms(&l, "connect_ms", r->phase_us[PHASE_CONNECT]);
	json_line_ms(&l, "server_ms", r->phase_us[PHASE_SERVER]);
	json_line_ms(&l, "stream_ms", r->phase_us[PHASE_STREAM]);
	json_line_ms(&l, "client_write_ms", r->phase_us[PHASE_CLIENT]);
	json_line_ms(&l, "proxy_ms", r->phase_us[PHASE_PROXY]);
	json_line_str(&l, "cause", request_cause(r));
	put_name(&l, "database", r->database);
	put_name(&l, "user", r->user);
	put_name(&l, "application", r->application);
	put_name(&l, "client", r->client);
	json_line_u64(&l, "client_id", r->client_id);
	put_name_or_null(&l, "backend", r->backend);
	if (r->backend_pid != 0)
		json_line_u64(&l, "server_pid", r->backend_pid);
	else
		json_line_str(&l, "server_pid", NULL);
	put_name(&l, "protocol", r->protocol);
	put_name_or_null(&l, "tag", r->tag);
	json_line_u64(&l, "rows", r->rows);
	json_line_u64(&l, "bytes_out", r->bytes_out);
	json_line_u64(&l, "bytes_in", r->bytes_in);
	json_line_u64(&l, "statements", r->statements);
	json_line_str(&l, "plan", r->plan == PLAN_KEPT ? "kept" : NULL);
	json_line_bool(&l, "in_transaction", r->in_transaction);
	put_query(&l, r, sql);
	put_name_or_null(&l, "sqlstate", r->sqlstate);
	json_line_str(&l, "canceled_by", canceler_names[r->canceled_by]);
	if (sql->fp.traceparent[0] != '\0') {
		json_line_bytes(&l, "trace_id", sql->fp.traceparent + TRACEPARENT_TRACE_AT, TRACEPARENT_TRACE_LEN);
		json_line_bytes(&l, "span_id", sql->fp.traceparent + TRACEPARENT_SPAN_AT, TRACEPARENT_SPAN_LEN);
	}
	json_line_u64(&l, "suppressed", suppressed);
	json_line_ms_short(&l, "threshold_ms", r->threshold_us);
	return json_line_end(&l);
}

/* --- PostgreSQL's own style, for its log analysers --- */

static void
put_escaped(struct text *t, const char *bytes, size_t len)
{
	t->len += escape_text(ESCAPE_TEXT, bytes, len, t->out + t->len, t->cap - t->len);
}

/* Puts the label and the name, or "[unknown]" in place of an empty name, as log_line_prefix does. */
static void
put_label_and_name(struct text *t, const char *label, const char *name)
{
	put_str(t, label);
	if (name == NULL || name[0] == '\0')
		put_str(t, "[unknown]");
	else
		put_escaped(t, name, strnlen(name, NAME_MAX_LEN));
}

/* log_line_prefix = '%m [%p] user=%u,db=%d,app=%a,client=%h '; %p is the server's PID, or 0 if the request had no
 * server. */
static void
put_prefix(struct text *t, const struct request_report *r)
{
	const char *client = r->client != NULL ? r->client : "", *colon = strrchr(client, ':');
	size_t len = colon != NULL ? (size_t)(colon - client) : strlen(client);
	char ts[BASE_TIMESTAMP_LEN], number[64];

	base_timestamp_text(r->wall_us, ts);
	put_str(t, ts);
	snprintf(number, sizeof(number), " [%" PRIu32 "]", r->backend_pid);
	put_str(t, number);
	put_label_and_name(t, " user=", r->user);
	put_label_and_name(t, ",db=", r->database);
	put_label_and_name(t, ",app=", r->application);
	/* client is "10.0.0.7:51514" or "[::1]:51514"; %h has no port and no brackets. */
	put_str(t, ",client=");
	if (client[0] == '\0')
		put_str(t, "[local]");
	else if (len > 2 && client[0] == '[' && client[len - 1] == ']')
		put_escaped(t, client + 1, len - 2);
	else
		put_escaped(t, client, len < NAME_MAX_LEN ? len : NAME_MAX_LEN);
}

size_t
slowlog_put_line(enum slow_format format, const struct request_report *report, const struct report_sql *sql,
		 uint64_t suppressed, char *out, size_t out_cap)
{
	if (out_cap < JSON_LINE_CAP_MIN)
		return 0;
	if (format == SLOW_FORMAT_POSTGRES) {
		struct text t = { out, out_cap - 1, 0 }; /* room for the newline */
		char number[64];

		put_prefix(&t, report);
		snprintf(number, sizeof(number), " LOG:  duration: %" PRIu64 ".%03u ms", report->duration_us / 1000,
			 (unsigned)(report->duration_us % 1000));
		put_str(&t, number);
		if (sql->shown != NULL) {
			put_str(&t, "  statement: ");
			put_escaped(&t, sql->shown, strlen(sql->shown));
			if (report->bind != NULL) {
				char text[PARAMETERS_MAX];
				size_t len = put_parameters(report->bind, report->bind_len, text, sizeof(text));

				/* The parameters get a line of their own, as in PostgreSQL's log. */
				put_str(&t, "\n");
				put_prefix(&t, report);
				put_str(&t, " DETAIL:  parameters: ");
				put_escaped(&t, text, strnlen(text, len));
			}
		}
		out[t.len] = '\n';
		out[t.len + 1] = '\0';
		return t.len + 1;
	}
	return put_fields(report, sql, suppressed, out, out_cap);
}
