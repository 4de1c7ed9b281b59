/* src/admin/show_hosts.c - SHOW HOSTS: the hosts of databases that read from standbys. */
#include "admin/show.h"
#include "dedicated/watch.h"

#include <stdio.h>
#include <string.h>

SHOW_ROW(host, (TEXT, database) (TEXT, host) (INT4, port) (TEXT, role) (TEXT, state) (TIME, life)
	(INT8_OR_NULL, timeline) (TEXT, position) (INT8_OR_NULL, lag_ms) (INT8, reads) (INT8, readings)
	(TEXT, last_error) (TEXT, zone));

struct host_fill {
	const struct snapshot *s; /* NULL without memory, or if a worker does not answer */
	struct rows *rows;
};

static void
add_host(const struct watch_row *h, void *arg)
{
	const struct host_fill *fill = arg;
	const char *port = strrchr(h->host, ':');
	char host[264], position[32];
	struct host_row row = { .database = h->database,
				.host = host,
				.port = strtoul(port + 1, NULL, 10),
				.state = watch_use_names[h->use],
				.life = h->started_us,
				.timeline = h->timeline == 0 ? ROWS_NULL : h->timeline,
				.lag_ms = h->is_lag_known ? h->lag_us / 1000 : ROWS_NULL,
				.readings = h->readings,
				.last_error = h->last_error,
				.zone = *h->zone != '\0' ? h->zone : NULL };

	snprintf(host, sizeof(host), "%.*s", (int)(port - h->host), h->host);
	if (h->started_us != 0)
		row.role = h->is_standby ? "standby" : "primary";
	if (h->position != 0) {
		snprintf(position, sizeof(position), "%X/%X", (unsigned)(h->position >> 32), (unsigned)h->position);
		row.position = position;
	}
	for (size_t i = 0; fill->s != NULL && i < fill->s->backend_count; i++)
		if (strcmp(fill->s->backends[i].name, h->host) == 0)
			row.reads = fill->s->backends[i].counters.standby_loans;
	rows_add(fill->rows, &row);
}

SHOW(show_hosts, host_columns, OF_MAIN_WORKER)
{
	struct snapshot *s = env->host->snapshot(env->host->w);

	watch_each(env->host->watch, add_host, &(struct host_fill){ s, rows });
	snapshot_free(s);
}
