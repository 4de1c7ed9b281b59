/* src/telemetry/slowlog_line.h - how a line of the slow-query log looks. Pure. */
#ifndef PGWEIR_TELEMETRY_SLOWLOG_LINE_H
#define PGWEIR_TELEMETRY_SLOWLOG_LINE_H

#include "telemetry/fingerprint.h"
#include "telemetry/slowlog.h"

#include <stddef.h>

#define SLOWLOG_QUERY_MAX 2048 /* bytes of text in a line, before they are escaped */
#define SLOWLOG_LINE_MAX (24 * 1024) /* any line fits */

/* What is said of the text. */
struct slowlog_query {
	bool is_known;
	struct fingerprint fp;
	char text[SLOWLOG_QUERY_MAX + 1];
};

void slowlog_read_query(struct slowlog_query *q, enum slowlog_text text, const struct request_report *report);
size_t slowlog_put_line(const struct slowlog_settings *settings, const struct request_report *report,
			const struct slowlog_query *q, uint64_t suppressed, char *out, size_t out_cap);

#endif
