/* src/telemetry/snapshot.c - see snapshot.h. */
#include "telemetry/snapshot.h"

#include <stdlib.h>

void
snapshot_free(struct snapshot *s)
{
	if (s == NULL)
		return;
	free(s->pools);
	for (size_t i = 0; i < s->database_count && s->databases != NULL; i++)
		free(s->databases[i].exemplars);
	free(s->databases);
	free(s->backends);
	free(s->workers);
	free(s);
}

/* Counters are structs of nothing but uint64_t, including histograms, so they are added up as arrays. */
_Static_assert(sizeof(struct pool_counters) % sizeof(uint64_t) == 0, "only uint64_t");
_Static_assert(sizeof(struct database_counters) % sizeof(uint64_t) == 0, "only uint64_t");
_Static_assert(sizeof(struct process_counters) % sizeof(uint64_t) == 0, "only uint64_t");

static void
add_all(uint64_t *to, const uint64_t *from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] += from[i];
}

void
snapshot_pool_add(struct snapshot_pool *to, const struct snapshot_pool *from)
{
	add_all(to->clients, from->clients, CLIENTS_STATES);
	add_all(to->servers, from->servers, SERVERS_STATES);
	to->pool_size += from->pool_size;
	to->max_overflow += from->max_overflow;
	to->overflow += from->overflow;
	to->waiting += from->waiting;
	to->listen_connections += from->listen_connections;
	to->listening_clients += from->listening_clients;
	to->listen_channels += from->listen_channels;
	if (to->oldest_waiter_us < from->oldest_waiter_us)
		to->oldest_waiter_us = from->oldest_waiter_us;
	add_all((uint64_t *)&to->counters, (const uint64_t *)&from->counters, sizeof(to->counters) / sizeof(uint64_t));
}

void
snapshot_database_add(struct snapshot_database *to, const struct snapshot_database *from)
{
	to->prepared_client += from->prepared_client;
	to->prepared_server += from->prepared_server;
	add_all((uint64_t *)&to->counters, (const uint64_t *)&from->counters, sizeof(to->counters) / sizeof(uint64_t));
}

void
snapshot_backend_add(struct snapshot_backend *to, const struct snapshot_backend *from)
{
	struct backend_counters *t = &to->counters;
	const struct backend_counters *f = &from->counters;

	t->connects += f->connects;
	add_all(t->connect_failures, f->connect_failures, CF_COUNT);
	if (t->last_failure_wall_us < f->last_failure_wall_us)
		t->last_failure_wall_us = f->last_failure_wall_us;
	if (t->is_up < f->is_up)
		t->is_up = f->is_up;
	histogram_add(&t->connect_duration, &f->connect_duration);
}

void
snapshot_process_add(struct process_counters *to, const struct process_counters *from)
{
	add_all((uint64_t *)to, (const uint64_t *)from, sizeof(*to) / sizeof(uint64_t));
}

struct snapshot_requests
snapshot_requests(const struct snapshot *s)
{
	struct snapshot_requests r = { 0 };

	for (size_t i = 0; i < s->database_count; i++) {
		const struct database_counters *c = &s->databases[i].counters;

		r.all += c->requests;
		r.slow += c->slow_queries;
		for (size_t k = 0; k < RF_OF_CLIENTS; k++)
			r.failed += c->requests_failed[k];
	}
	return r;
}

struct snapshot_totals
snapshot_totals(const struct snapshot *s)
{
	struct snapshot_totals t = { 0 };

	for (size_t i = 0; i < s->pool_count; i++) {
		const struct snapshot_pool *p = &s->pools[i];

		for (size_t k = 0; k < SERVERS_STATES; k++)
			t.servers += p->servers[k];
		t.lent += p->servers[SERVERS_ACTIVE] + p->servers[SERVERS_PINNED];
		t.waiting += p->waiting;
		t.overflow += p->overflow;
		t.limit += p->pool_size + p->max_overflow;
		if (p->oldest_waiter_us > t.oldest_waiter_us)
			t.oldest_waiter_us = p->oldest_waiter_us;
	}
	return t;
}
