/*
 * src/process/process_parts.c - makes what serves clients and servers, and connects it: struct client_env and struct
 * server_env, and what the parts report to the process.
 */
#include "process/process_state.h"

#include "admission/admission.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "client/cancel.h"
#include "client/clients.h"
#include "dedicated/notify_listener.h"
#include "login/login.h"
#include "lookup/auth_query.h"
#include "lookup/verifier_cache.h"
#include "relay/relay.h"
#include "server/hosts.h"
#include "server/server_cancel.h"
#include "state/audit.h"
#include "state/linger.h"
#include "statements/statements.h"
#include "telemetry/fingerprint.h"
#include "telemetry/query_table.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define READ_CAP ((size_t)64 << 10)

/* Seeds of hash tables and the like, one for each. */
enum seed {
	SEED_IMAGES,
	SEED_STATEMENTS,
	SEED_POOLS,
	SEED_AUTH_QUERIES,
	SEED_STATEMENT_NAMES,
	SEED_EXCHANGES,
	SEED_AUDIT,
	SEED_QUERIES,
	SEED_HOSTS,
	SEEDS
};

/* --- what the parts report --- */

/* Keeps the request's trace as the exemplar of the bucket of query_duration that counts the request. */
static void
keep_exemplar(struct weir *w, const struct request_report *report)
{
	struct pool_database *d = pool_set_find_database(w->pools, report->database);
	struct exemplar *e;

	if (d == NULL)
		return;
	if (d->exemplars == NULL)
		d->exemplars = xcalloc(1, sizeof(*d->exemplars));
	e = &d->exemplars->of[histogram_bucket(&histogram_bounds_query, report->duration_us)];
	memcpy(e->trace_id, slowlog_last_trace(w->slowlog), sizeof(e->trace_id) - 1);
	e->value_us = report->duration_us;
	e->wall_us = report->wall_us;
}

static void
on_report(void *owner, const struct request_report *report)
{
	struct weir *w = owner;

	slowlog_write(w->slowlog, report, w->now_us);
	if (slowlog_last_trace(w->slowlog)[0] != '\0' && report->phase_us[PHASE_SERVER] > 0)
		keep_exemplar(w, report);
}

static void
on_query(void *owner, const struct request_report *report, uint32_t weight)
{
	struct weir *w = owner;

	query_table_add(w->queries, report, weight);
}

static void
on_client_gone(void *owner, struct client *c)
{
	struct weir *w = owner;

	restart_client_gone(w->restart, c);
	if (w->stopping.is_stopping)
		process_stop_if_empty(w);
}

static void
on_accept(int fd, const struct sockaddr *peer, bool is_unix, void *arg)
{
	struct weir *w = arg;

	w->now_us = clock_now_us();
	w->counters.client_connections++;
	client_accept(&w->clients, fd, peer, is_unix);
}

static void
on_exhausted(int error, void *arg)
{
	struct weir *w = arg;
	struct fail why;

	w->counters.rejected[RJ_DESCRIPTORS]++;
	fail_set(&why, "53300", "cannot accept a connection: %s", strerror(error));
	fail_hint(&why, "raise LimitNOFILE (ulimit -n) or lower max_client_connections");
	log_event(w->log, LOG_LEVEL_ERROR, &(struct log_about){ .why = &why }, "%s", why.text);
}

static void
on_released(struct exchange *x)
{
	struct weir *w = x->env->owner;

	restart_client_released(w->restart, x);
}

static void
on_crossing_heard(struct exchange *x)
{
	struct weir *w = x->env->owner;

	restart_crossing_heard(w->restart, x);
}

static bool
on_strange_cancel(void *owner, struct client *asker, uint32_t pid, const uint8_t *key, size_t key_len)
{
	struct weir *w = owner;

	return restart_forward_cancel(w->restart, asker, pid, key, key_len);
}

static void
on_far_cancel_over(void *owner, uint64_t number)
{
	struct weir *w = owner;

	restart_cancel_over(w->restart, number);
}

/* --- making --- */

static const struct exchange_ops exchange_ops = {
	.close = client_close_exchange,
	.peer_text = client_exchange_peer,
	.console_message = process_console_message,
	.no_such_pid = cancel_no_such_pid,
	.statement_of = statements_called,
	.timed_out = client_timed_out,
	.login_granted = login_granted,
	.login_refused = login_refused,
	.login_server_error = login_server_error,
	.login_server_done = login_server_done,
	.login_server_lost = login_server_lost,
	.bytes = relay_bytes,
	.try_release = relay_try_release,
	.released = on_released,
	.crossing_heard = on_crossing_heard,
};

static void
fill_envs(struct weir *w)
{
	struct server_env *s = &w->servers;
	struct client_env *c = &w->clients;

	s->base = c->x.base = w->base;
	s->log = c->x.log = w->log;
	s->now_us = c->x.now_us = &w->now_us;
	s->ops = &relay_server_ops;
	s->owner_ops = &pool_set_owner_ops;
	s->counters = c->x.counters = &w->counters;
	s->cancelling = &w->cancelling;
	s->losses = &w->losses;
	c->x.owner = w;
	c->x.on_report = on_report;
	c->x.on_query = on_query;
	c->x.ops = &exchange_ops;
	c->front = &login_front;
	c->on_console_closed = process_console_closed;
	c->normalize = fingerprint_normalize;
	c->on_client_gone = on_client_gone;
	c->on_strange_cancel = on_strange_cancel;
	c->on_far_cancel_over = on_far_cancel_over;
}

static int
make_network(struct weir *w, const uint64_t seeds[static SEEDS], struct fail *why)
{
	const struct listeners_settings ls = { w->base, w->log, on_accept, on_exhausted, w };
	const struct tcp_options tcp = setup_tcp_options(w->config);
	struct server_env *s = &w->servers;
	struct client_env *c = &w->clients;

	s->helpers = c->helpers = helpers_new(w->base, w->config->handshake_threads, why);
	if (s->helpers == NULL)
		return -1;
	s->graveyard = c->x.graveyard = graveyard_new(w->base);
	w->listeners = listeners_new(&ls);
	s->dialer = dialer_new(w->base, &tcp, w->config->resolv_conf);
	s->passwords = passwords_new(w->base, w->log, &w->now_us);
	s->hosts = hosts_new(seeds[SEED_HOSTS]);
	s->tls_scratch = c->tls_scratch = tls_scratch_new();
	s->read_buffer = c->read_buffer = xmalloc(READ_CAP + SERVER_CARRY_MAX);
	s->read_cap = c->read_cap = READ_CAP;
	return 0;
}

static int
make_stores(struct weir *w, const uint64_t seeds[static SEEDS], struct fail *why)
{
	struct client_env *c = &w->clients;
	const struct admission_settings admission = { w->base, w->log, &w->now_us, &c->x.config, &login_admission_ops };

	w->servers.images = c->x.images = image_store_new(seeds[SEED_IMAGES]);
	c->x.statements = statement_store_new(seeds[SEED_STATEMENTS], seeds[SEED_STATEMENT_NAMES],
					      w->config->prepared_statements_cache);
	c->verifiers = verifier_cache_new(c->helpers);
	if (c->verifiers == NULL)
		return fail_set(why, "58000", "no randomness");
	c->x.audit = audit_new(seeds[SEED_AUDIT]);
	w->queries = query_table_new(w->config->slow_table_size, seeds[SEED_QUERIES]);
	c->x.hash_seed = seeds[SEED_EXCHANGES];
	c->admission = admission_new(&admission, why);
	return c->admission == NULL ? -1 : 0;
}

static void
make_pools(struct weir *w, const uint64_t seeds[static SEEDS])
{
	struct exchange_env *x = &w->clients.x;
	const struct pool_set_settings ps = { .env = &w->servers,
					      .statements = x->statements,
					      .seed = seeds[SEED_POOLS],
					      .companions = &dedicated_companions };
	struct auth_queries_settings aq = { .counters = &w->counters, .seed = seeds[SEED_AUTH_QUERIES] };

	aq.pools = w->pools = x->pools = pool_set_new(&ps, w->base, w->log);
	x->auth_queries = auth_queries_new(&aq);
	w->console = process_console_new(w);
	state_linger_init(x);
}

int
process_make_parts(struct weir *w, struct fail *why)
{
	uint64_t seeds[SEEDS];

	if (RAND_bytes((unsigned char *)seeds, sizeof(seeds)) != 1 ||
	    RAND_bytes(w->clients.mock_secret, sizeof(w->clients.mock_secret)) != 1)
		return fail_set(why, "58000", "no randomness");
	fill_envs(w);
	if (make_network(w, seeds, why) < 0 || make_stores(w, seeds, why) < 0)
		return -1;
	make_pools(w, seeds);
	return 0;
}

void
process_free_parts(struct weir *w)
{
	struct server_env *s = &w->servers;
	struct client_env *c = &w->clients;

	console_free(w->console);
	auth_queries_free(c->x.auth_queries);
	pool_set_free(w->pools);
	if (s->cancelling != NULL)
		server_cancel_abandon(s);
	cancel_abandon_passed(c);
	helpers_free(c->helpers); /* returns work under way, whose owners then go to the graveyard */
	graveyard_free(c->x.graveyard);
	state_linger_fini(&c->x);
	passwords_free(s->passwords);
	hosts_free(s->hosts);
	dialer_free(s->dialer);
	verifier_cache_free(c->verifiers);
	audit_free(c->x.audit);
	admission_free(c->admission);
	statement_store_free(c->x.statements);
	image_store_free(c->x.images);
	free(c->keyed);
	tls_scratch_free(c->tls_scratch);
	free(c->read_buffer);
}
