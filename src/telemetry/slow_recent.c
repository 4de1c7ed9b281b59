/* src/telemetry/slow_recent.c - see slowlog_state.h. */
#include "telemetry/slowlog_state.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 128

/* Puts a copy at *at, and lets *name point to it. */
static void
keep_text(const char **name, char **at, size_t max)
{
	size_t len = *name == NULL ? 0 : strnlen(*name, max);

	if (*name == NULL)
		return;
	memcpy(*at, *name, len);
	(*at)[len] = '\0';
	*name = *at;
	*at += len + 1;
}

void
slow_recent_add(struct slow_recent *r, const struct request_report *report, uint64_t fingerprint, const char *text)
{
	struct slow_row *row = &r->rows[r->next];
	struct request_report *kept = &row->report;
	const char **const names[] = { &kept->event,  &kept->database, &kept->user, &kept->application,
				       &kept->client, &kept->backend,  &kept->tag,  &kept->sqlstate };
	char *at = malloc(sizeof(names) / sizeof(names[0]) * (NAME_MAX_LEN + 1) + SLOW_RECENT_TEXT_MAX + 1),
	     *begin = at;

	if (at == NULL)
		return;
	free(r->texts[r->next]);
	*row = (struct slow_row){ *report, fingerprint };
	kept->query = text;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		keep_text(names[i], &at, NAME_MAX_LEN);
	keep_text(&kept->query, &at, SLOW_RECENT_TEXT_MAX);
	kept->protocol = NULL;
	r->texts[r->next] = begin;
	r->next = (r->next + 1) % SLOW_RECENT_KEPT;
}

void
slow_recent_fini(struct slow_recent *r)
{
	for (size_t i = 0; i < SLOW_RECENT_KEPT; i++)
		free(r->texts[i]);
}

void
slow_recent_each(const struct slow_recent *r, void (*row)(const struct slow_row *row, void *arg), void *arg)
{
	for (size_t i = 1; i <= SLOW_RECENT_KEPT; i++) {
		size_t at = (r->next + SLOW_RECENT_KEPT - i) % SLOW_RECENT_KEPT;

		if (r->texts[at] != NULL)
			row(&r->rows[at], arg);
	}
}
