/* src/modules/slowlog/slowlog_show.c - SHOW SLOW: the last slow requests. */
#include "modules/slowlog/slowlog.h"
#include "admin/show.h"

#include <string.h>

SHOW_ROW(slow_show, (TIME, time) (TEXT, event) (MS, duration_ms) SHOW_PHASES (TEXT, cause) (TEXT, database)
	(TEXT, user) (TEXT, application_name) (TEXT, client) (INT8, client_id) (TEXT, backend) (INT4, server_pid)
	(INT8, rows) (INT8, bytes_out) (TEXT, sqlstate) (TEXT, canceled_by) (HASH, fingerprint) (TEXT, query));

static void
add_slow(const struct slow_row *slow, void *arg)
{
	const struct request_report *r = &slow->report;
	struct slow_show_row row = { .time = r->wall_us,
				     .event = r->event,
				     .duration_ms = r->duration_us, /* in µs: the column's type, MS, converts */
				     .cause = request_cause(r),
				     .database = r->database,
				     .user = r->user,
				     .application_name = r->application,
				     .client = r->client,
				     .backend = r->backend,
				     .sqlstate = r->sqlstate,
				     .canceled_by = canceler_names[r->canceled_by],
				     .fingerprint = slow->fingerprint,
				     .query = r->query,
				     .client_id = r->client_id,
				     .server_pid = r->backend_pid,
				     .rows = r->rows,
				     .bytes_out = r->bytes_out };

	memcpy((char *)&row + offsetof(struct slow_show_row, wait_ms), r->phase_us, sizeof(r->phase_us));
	rows_add(arg, &row);
}

SHOW(show_slow, slow_show_columns, OF_MAIN_WORKER)
{
	slowlog_each_recent(env->host->modules[MODULE_slowlog], add_slow, rows);
}
