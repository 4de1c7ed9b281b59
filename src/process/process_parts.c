/* src/process/process_parts.c - makes the objects that all workers share, connects the workers with them (struct
 * client_env, struct server_env), and handles reports to the process. */
#include "process/process_state.h"
#include "base/alloc.h"
#include "client/cancel.h"
#include "client/clients.h"
#include "config/module.h"
#include "login/login.h"
#include "lookup/auth_query.h"
#include "lookup/verifier_cache.h"
#include "net/jobs.h"
#include "dedicated/fleet.h"
#include "dedicated/watch.h"
#include "policy/policy_commons.h"
#include "pool/cluster.h"
#include "pool/pool_workers.h"
#include "pool/pool_target.h"
#include "relay/reads.h"
#include "relay/relay.h"
#include "session/audit.h"
#include "session/session_commons.h"
#include "statements/statements.h"
#include "telemetry/fingerprint.h"

#include <openssl/rand.h>

/* Seeds of hash tables and the like, one for each. */
enum seed {
	SEED_AUTH_QUERIES,
	SEED_STATEMENT_TAG,
	SEED_SESSIONS,
	SEED_AUDIT,
	SEED_QUERIES,
	SEED_SNAPSHOTS,
	SEED_COMMONS,
	SEED_POOL_WORKERS,
	SEEDS
};

/* --- reports to the process --- */

/* Logs a statement that its client has canceled. */
static void
log_canceled(const struct worker *k, const struct request_report *r, const char *sql)
{
	const struct log_about about = { .event = "statement_canceled",
					 .client_id = r->client_id,
					 .client = r->client,
					 .user = r->user,
					 .application = r->application,
					 .database = r->database,
					 .duration_us = r->duration_us };
	char words[CLIENT_WORDS_MAX];

	client_write_words(&about, words, sizeof(words));
	log_event(k->clients.x.log, LOG_LEVEL_INFO, &about, "%s canceled its statement after %s: %s", words,
		  duration_format(r->duration_us).text,
		  sql != NULL ? sql : "(its SQL is not known, or not to be shown)");
}

static void
on_report(void *owner, const struct request_report *report)
{
	struct worker *k = owner;
	struct pool_database *d;
	struct report_sql sql;
	struct exemplar e = { .value_us = report->duration_us, .wall_us = report->wall_us };

	fingerprint_report(&sql, report, k->clients.x.config->slow_text);
	if (report->canceled_by == CANCELED_BY_CLIENT)
		log_canceled(k, report, sql.shown);
	for (size_t i = 0; modules[i] != NULL && report->event != NULL; i++)
		modules[i]->report(k->weir->modules[i], report, &sql, k->now_us);
	if (sql.fp.traceparent[0] == '\0' || report->phase_us[PHASE_SERVER] == 0 ||
	    (d = pool_set_find_database(k->pools, report->database)) == NULL)
		return;
	/* The request's trace becomes the exemplar of the bucket of query_duration that counts the request. */
	if (d->exemplars == NULL)
		d->exemplars = calloc(1, sizeof(*d->exemplars));
	memcpy(e.trace_id, sql.fp.traceparent + TRACEPARENT_TRACE_AT, TRACEPARENT_TRACE_LEN);
	if (d->exemplars != NULL)
		d->exemplars->of[histogram_bucket(&histogram_bounds_query, e.value_us)] = e;
}

static void
on_client_gone(void *owner, struct client *c)
{
	struct worker *k = owner;

	restart_client_gone(k->weir->restart, c);
	if (k->weir->stopping.stage != STOP_NONE)
		process_stop_if_empty(k->weir);
}

static void
on_accept(int fd, const struct sockaddr *peer, bool is_unix, void *arg)
{
	struct worker *k = arg;

	k->now_us = clock_now_us();
	k->counters.client_connections++;
	client_accept(&k->clients, fd, peer, is_unix);
}

static void
on_exhausted(int error, void *arg)
{
	struct worker *k = arg;
	struct fail why;

	k->counters.rejected[RJ_DESCRIPTORS]++;
	fail_set(&why, "53300", "could not accept a connection: %s", strerror(error));
	fail_hint(&why, "Raise LimitNOFILE (ulimit -n), or lower max_client_connections.");
	log_event(k->weir->log, LOG_LEVEL_ERROR, &(struct log_about){ .why = &why }, "%s", why.text);
}

static void
on_released(struct exchange *x)
{
	struct worker *k = x->env->owner;

	restart_client_released(k->weir->restart, x);
}

static void
on_takeover_progress(struct exchange *x)
{
	struct worker *k = x->env->owner;

	restart_transfer_progress(k->weir->restart);
}

static bool
on_unknown_cancel_key(void *owner, struct client *asker, uint32_t pid, const uint8_t *key, size_t key_len)
{
	struct worker *k = owner;

	return restart_forward_cancel(k->weir->restart, asker, pid, key, key_len);
}

static void
on_far_cancel_over(void *owner, uint64_t number)
{
	struct worker *k = owner;

	restart_cancel_over(k->weir->restart, number);
}

/* --- notes to other workers --- */

struct vacate_note {
	struct note note;
	struct pool_target *asking; /* a counted reference */
	char *database, *user; /* as in pool_set_vacate(); user is NULL for all users */
};

static void
vacate(struct worker *k, const struct pool_target *asking, const char *database, const char *user)
{
	if (k == k->weir->main_worker)
		auth_queries_close_idle(k->weir->shared.auth_queries, database);
	pool_set_vacate(k->pools, asking, database, user, k->now_us);
}

static void
free_vacate(struct vacate_note *v)
{
	pool_target_unref(v->asking);
	free(v->database);
	free(v->user);
	free(v);
}

static void
read_vacate(struct note *n, void *owner, bool is_over)
{
	struct vacate_note *v = (struct vacate_note *)n;
	struct worker *k = owner;

	if (!is_over) {
		k->now_us = clock_now_us();
		vacate(k, v->asking, v->database, v->user);
	}
	free_vacate(v);
}

/* Posts a note to another worker. If there is no memory for the note, that worker keeps its idle connections, and the
 * statement that needs the database to itself may fail. */
static void
post_vacate(struct worker *to, struct pool_target *asking, const char *database, const char *user)
{
	struct vacate_note *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return;
	v->note.read = read_vacate;
	v->asking = pool_target_ref(asking);
	v->database = strdup(database);
	v->user = user != NULL ? strdup(user) : NULL;
	if (v->database == NULL || (user != NULL && v->user == NULL))
		free_vacate(v);
	else
		inbox_post(to->inbox, &v->note);
}

static void
on_exclusive(void *owner, struct pool_target *asking, const char *database, const char *user)
{
	struct worker *k = owner;

	for (struct worker *to = k->weir->main_worker; to != NULL; to = to->next)
		if (to == k)
			vacate(k, asking, database, user);
		else
			post_vacate(to, asking, database, user);
}

static void
on_cluster_reading(void *worker)
{
	struct worker *k = worker;

	k->now_us = clock_now_us();
	if (reads_on_cluster_reading(&k->clients.x))
		clients_enforce_server_limits(&k->clients, k->now_us);
}

/* May be called on any thread. Wakes the worker, which then calls on_cluster_reading(). */
static void
wake_for_reading(void *owner)
{
	struct worker *k = owner;

	wake_post(&k->reading_wake);
}

/* --- making --- */

static const struct exchange_ops exchange_ops = {
	.close = client_close_as,
	.peer_text = client_peer_text,
	.console_message = process_console_message,
	.cancel_client_of_pid = cancel_by_pid,
	.statement_of = statements_find,
	.timed_out = client_note_timeout,
	.login_granted = login_granted,
	.login_not_granted = login_not_granted,
	.login_server_error = login_server_error,
	.login_server_done = login_server_done,
	.login_server_lost = login_server_lost,
	.handle_bytes = relay_bytes,
	.try_release = relay_try_release,
	.released = on_released,
	.takeover_progress = on_takeover_progress,
};

void
worker_fill_envs(struct worker *k)
{
	const struct process_shared *shared = &k->weir->shared;
	struct server_env *s = &k->servers;
	struct client_env *c = &k->clients;

	s->base = c->x.base = k->base;
	s->log = c->x.log = k->weir->log;
	s->now_us = c->x.now_us = &k->now_us;
	s->ops = &relay_server_ops;
	s->owner_ops = &pool_set_owner_ops;
	s->counters = c->x.counters = &k->counters;
	s->cancelling = &k->cancelling;
	s->losses = &k->losses;
	s->inbox = c->inbox = k->inbox;
	s->has_other_workers = k->weir->worker_count > 1;
	s->helpers = c->helpers = shared->helpers;
	s->jobs = c->jobs = shared->jobs;
	c->x.audit = shared->audit;
	c->keys = shared->keys;
	c->verifiers = shared->verifiers;
	c->admission = k == k->weir->main_worker ? shared->admission : k->refusals;
	c->number = k->number;
	c->client_envs = k->weir->client_envs;
	c->pool_workers = shared->pool_workers;
	c->x.owner = k;
	c->x.on_exclusive = on_exclusive;
	wake_init(&k->reading_wake, k->inbox, on_cluster_reading, k);
	c->x.on_cluster_reading = wake_for_reading;
	c->x.on_report = on_report;
	c->x.ops = &exchange_ops;
	c->login_ops = &login_ops;
	c->on_console_closed = process_console_closed;
	c->on_client_gone = on_client_gone;
	c->on_unknown_cancel_key = on_unknown_cancel_key;
	c->on_far_cancel_over = on_far_cancel_over;
}

static int
make_shared(struct weir *w, const uint64_t seeds[static SEEDS], struct fail *why)
{
	struct worker *main_worker = w->main_worker;
	const struct admission_settings admission = { main_worker->base, w->log, &main_worker->now_us,
						      &main_worker->clients.x.config, &login_admission_ops };
	struct process_shared *shared = &w->shared;

	pthread_mutex_init(&shared->lives.lock, NULL);
	shared->statement_tag = seeds[SEED_STATEMENT_TAG];
	shared->snapshot_seed = seeds[SEED_SNAPSHOTS];
	shared->helpers = helpers_new(w->config->handshake_threads, why);
	if (shared->helpers == NULL)
		return -1;
	shared->jobs = jobs_new(main_worker->inbox);
	shared->verifiers = verifier_cache_new(shared->helpers, main_worker->inbox);
	if (shared->verifiers == NULL)
		return fail_set(why, "58000", "could not get random bytes");
	shared->audit = audit_new(seeds[SEED_AUDIT]);
	shared->keys = cancel_keys_new();
	shared->commons = policy_commons_new(seeds[SEED_COMMONS]);
	if (shared->commons == NULL)
		return fail_memory(why, "the limits on logins");
	shared->code_registry = code_registry_new();
	if (w->worker_count > 1)
		shared->sessions = session_commons_new(seeds[SEED_SESSIONS]);
	shared->pool_workers = pool_workers_new(&w->split, seeds[SEED_POOL_WORKERS]);
	w->queries = query_table_new(w->config->slow_table_size, seeds[SEED_QUERIES]);
	shared->admission = admission_new(&admission, why);
	return shared->admission == NULL ? -1 : 0;
}

static void
on_fleet(void *worker)
{
	struct worker *main_worker = worker;

	main_worker->now_us = clock_now_us();
	fleet_handle_pool_requests(main_worker->weir->shared.fleet, main_worker->now_us);
}

static void
on_watch(void *worker)
{
	struct worker *main_worker = worker;

	main_worker->now_us = clock_now_us();
	watch_tick(main_worker->weir->shared.watch);
}

/* Makes the parts that only worker 0 has. */
static int
make_main_worker_parts(struct weir *w, const uint64_t seeds[static SEEDS], struct fail *why)
{
	struct worker *main_worker = w->main_worker;
	const struct listeners_settings ls = { main_worker->base, w->log, on_accept, on_exhausted, main_worker };
	const struct auth_queries_settings aq = { .pools = main_worker->pools,
						  .counters = &main_worker->counters,
						  .seed = seeds[SEED_AUTH_QUERIES] };

	w->listeners = listeners_new(&ls);
	w->shared.auth_queries = auth_queries_new(&aq);
	for (struct worker *k = main_worker; k != NULL; k = k->next)
		k->clients.x.auth_queries = w->shared.auth_queries;
	wake_init(&w->shared.fleet_wake, main_worker->inbox, on_fleet, main_worker);
	w->shared.fleet = fleet_new(main_worker->pools, wake_post, &w->shared.fleet_wake);
	wake_init(&w->shared.watch_wake, main_worker->inbox, on_watch, main_worker);
	wake_init(&w->metrics.http_wake, main_worker->inbox, process_gather_for_http, w);
	w->shared.watch = watch_new(main_worker->pools, w->shared.commons, wake_post, &w->shared.watch_wake);
	if (w->shared.fleet == NULL || w->shared.watch == NULL)
		return fail_memory(why, "budgets and hosts");
	w->console = process_console_new(w);
	return 0;
}

int
process_make_parts(struct weir *w, struct fail *why)
{
	struct worker **last = &w->main_worker;
	uint64_t seeds[SEEDS];

	for (unsigned i = 0; i < w->worker_count; i++) {
		*last = worker_new(w, i, why);
		if (*last == NULL)
			return -1;
		w->client_envs[i] = &(*last)->clients;
		last = &(*last)->next;
	}
	if (RAND_bytes((unsigned char *)seeds, sizeof(seeds)) != 1 ||
	    RAND_bytes(w->main_worker->clients.mock_secret, sizeof(w->main_worker->clients.mock_secret)) != 1)
		return fail_set(why, "58000", "could not get random bytes");
	if (make_shared(w, seeds, why) < 0)
		return -1;
	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		if (worker_make_parts(k, why) < 0)
			return -1;
	return make_main_worker_parts(w, seeds, why);
}

bool
process_free_parts(struct weir *w)
{
	bool none_hangs;

	console_free(w->console);
	auth_queries_free(w->shared.auth_queries);
	fleet_free(w->shared.fleet);
	watch_free(w->shared.watch);
	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		worker_close(k);
	helpers_end(w->shared.helpers); /* afterwards, the results of all work are in inboxes */
	none_hangs = jobs_free(w->shared.jobs);
	/* Reading a note may post a note to another worker, so this goes on until no worker has any. */
	for (struct worker *k = w->main_worker; k != NULL; k = worker_read_last(k) ? w->main_worker : k->next)
		continue;
	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		worker_free_parts(k);
	helpers_free(w->shared.helpers);
	verifier_cache_free(w->shared.verifiers);
	audit_free(w->shared.audit);
	cancel_keys_free(w->shared.keys);
	code_registry_free(w->shared.code_registry);
	session_commons_free(w->shared.sessions);
	pool_workers_free(w->shared.pool_workers);
	admission_free(w->shared.admission);
	policy_commons_free(w->shared.commons);
	pthread_mutex_destroy(&w->shared.lives.lock);
	return none_hangs;
}
