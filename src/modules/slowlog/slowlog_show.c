/* src/modules/slowlog/slowlog_show.c - SHOW SLOW: the last slow requests. */
#include "modules/slowlog/slowlog.h"
#include "admin/show.h"

#include <inttypes.h>
#include <stdio.h>

SHOW_ROW(slow_show, (TEXT, time) (TEXT, event) (FLOAT8, duration_ms) (FLOAT8, wait_ms) (FLOAT8, connect_ms)
	(FLOAT8, server_ms) (FLOAT8, stream_ms) (FLOAT8, client_write_ms) (FLOAT8, proxy_ms) (TEXT, cause)
	(TEXT, database) (TEXT, user) (TEXT, application_name) (TEXT, client) (INT8, client_id) (TEXT, backend)
	(INT4, backend_pid) (INT8, rows) (INT8, bytes_out) (TEXT, sqlstate) (TEXT, fingerprint) (TEXT, query));

static double
ms(uint64_t us)
{
	return (double)us / 1000;
}

static void
add_slow(const struct slow_row *slow, void *arg)
{
	const struct request_report *r = &slow->report;
	char time[SHOW_TIME_MAX], fingerprint[20];
	struct slow_show_row row = { .time = time,
				     .event = r->event,
				     .cause = request_cause(r),
				     .database = r->database,
				     .user = r->user,
				     .application_name = r->application,
				     .client = r->client,
				     .backend = r->backend,
				     .sqlstate = r->sqlstate,
				     .query = r->query,
				     .client_id = r->client_id,
				     .backend_pid = r->backend_pid,
				     .rows = r->rows,
				     .bytes_out = r->bytes_out,
				     .duration_ms = ms(r->duration_us),
				     .wait_ms = ms(r->phase_us[PHASE_WAIT]),
				     .connect_ms = ms(r->phase_us[PHASE_CONNECT]),
				     .server_ms = ms(r->phase_us[PHASE_SERVER]),
				     .stream_ms = ms(r->phase_us[PHASE_STREAM]),
				     .client_write_ms = ms(r->phase_us[PHASE_CLIENT_WRITE]),
				     .proxy_ms = ms(r->phase_us[PHASE_PROXY]) };

	show_time(r->wall_us, time);
	snprintf(fingerprint, sizeof(fingerprint), "%016" PRIx64, slow->fingerprint);
	if (slow->fingerprint != 0)
		row.fingerprint = fingerprint;
	rows_add(arg, &row);
}

SHOW(show_slow, slow_show_columns, OF_MAIN_WORKER)
{
	slowlog_each_recent(env->host->modules[MODULE_slowlog], add_slow, rows);
}
