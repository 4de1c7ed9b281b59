#include "log/log.h"

#include <stdlib.h>
#include <string.h>

void
log_recent_add(struct log_recent *r, int level, const char *message, uint64_t wall_us)
{
	size_t kind = level > LOG_LEVEL_WARNING;
	struct log_event *e = &r->events[kind][r->next[kind]];
	char *copy = strdup(message);

	if (copy == NULL)
		return;
	free(e->message);
	*e = (struct log_event){ wall_us, level, copy };
	r->next[kind] = (r->next[kind] + 1) % LOG_RECENT_KEPT;
}

void
log_recent_fini(struct log_recent *r)
{
	for (size_t kind = 0; kind < LOG_RECENT_KINDS; kind++)
		for (size_t i = 0; i < LOG_RECENT_KEPT; i++)
			free(r->events[kind][i].message);
}

/* The one that is n back from the newest; NULL: there were not that many. */
static const struct log_event *
nth(const struct log_recent *r, size_t kind, size_t n)
{
	const struct log_event *e;

	if (n >= LOG_RECENT_KEPT)
		return NULL;
	e = &r->events[kind][(r->next[kind] + 2 * LOG_RECENT_KEPT - 1 - n) % LOG_RECENT_KEPT];
	return e->message != NULL ? e : NULL;
}

void
log_recent_each(const struct log_recent *r, void (*row)(const struct log_event *event, void *arg), void *arg)
{
	size_t at[LOG_RECENT_KINDS] = { 0 };
	const struct log_event *a, *b;

	while (a = nth(r, 0, at[0]), b = nth(r, 1, at[1]), a != NULL || b != NULL) {
		size_t kind = a == NULL || (b != NULL && b->wall_us > a->wall_us);

		row(kind == 0 ? a : b, arg);
		at[kind]++;
	}
}
