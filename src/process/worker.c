#include "process/process_state.h"
#include "base/alloc.h"
#include "base/resources.h"
#include "client/clients.h"
#include "config/config_origin.h"
#include "dedicated/blocking.h"
#include "dedicated/notify_listener.h"
#include "exchange/report.h"
#include "login/login.h"
#include "policy/policy_commons.h"
#include "server/hosts.h"
#include "relay/reads.h"
#include "relay/relay.h"
#include "state/linger.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define READ_CAP ((size_t)64 << 10)
#define TOKEN_BITS 48 /* the low bits of a client's token are a counter; the bits above are the worker's number */

/* Seeds of hash tables and the like, one for each. */
enum seed { SEED_GUCS, SEED_STATEMENTS, SEED_POOLS, SEED_EXCHANGES, SEED_HOSTS, SEEDS };

/* Allocates memory for libevent. libevent's own structs are small, and all clients depend on them, so they may use the
 * reserve (base/resources.h). evhttp (2.1.12) can't handle a failed allocation, so evhttp's thread, on which no client
 * depends, waits for memory. */
static void *
event_malloc(size_t size)
{
	const struct timespec pause = { 0, 10 * 1000 * 1000 };
	void *p = memory_realloc(NULL, size);
	char thread[16] = "";

	if (p == NULL)
		pthread_getname_np(pthread_self(), thread, sizeof(thread));
	for (; p == NULL && strcmp(thread, "pgweir-http") == 0; p = memory_realloc(NULL, size))
		nanosleep(&pause, NULL);
	return p;
}

static struct event_base *
new_base(unsigned number)
{
	struct event_config *cfg;
	struct event_base *base = NULL;

	if (number == 0) /* set once, because memory must be freed by the functions that allocated it */
		event_set_mem_functions(event_malloc, memory_realloc, free);
	cfg = event_config_new();
	if (cfg == NULL)
		return NULL;
	/* Locks are not needed, because only one thread at a time uses the base. A changelist is not needed, because
	 * descriptors are added once and hardly ever changed. */
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

struct worker *
worker_new(struct weir *w, unsigned number, struct fail *why)
{
	struct worker *k = xcalloc(1, sizeof(*k));

	TAILQ_INIT(&k->clients.clients);
	k->weir = w;
	k->number = number;
	k->now_us = clock_now_us();
	k->pulse.at_us = k->now_us;
	k->pulse.cpu_clock = CLOCK_THREAD_CPUTIME_ID; /* until the worker has a thread */
	k->base = new_base(number);
	if (k->base == NULL)
		fail_set(why, "53200", "could not create an event loop");
	else if ((k->inbox = inbox_new(k->base, k, why)) != NULL)
		return k;
	worker_free(k);
	return NULL;
}

static void
make_network(struct worker *k, const uint64_t seeds[static SEEDS])
{
	const struct config *config = k->weir->config;
	const struct tcp_options tcp = setup_get_tcp_options(config);
	struct server_env *s = &k->servers;
	struct client_env *c = &k->clients;

	s->deferred_frees = c->x.deferred_frees = deferred_frees_new(k->base, k->inbox);
	s->dialer = c->dialer = dialer_new(k->base, &tcp, config->resolv_conf);
	s->passwords = passwords_new(k->base, k->weir->log, &k->now_us);
	s->hosts = hosts_new(seeds[SEED_HOSTS]);
	s->tls_scratch = c->tls_scratch = tls_scratch_new();
	s->read_buffer = c->read_buffer = xmalloc(READ_CAP + SERVER_CARRY_MAX);
	s->read_cap = c->read_cap = READ_CAP;
}

size_t
worker_statement_cache_max(const struct worker *k)
{
	return k->weir->config->prepared_statements_cache / k->weir->worker_count;
}

static void
make_stores(struct worker *k, const uint64_t seeds[static SEEDS])
{
	struct process_shared *shared = &k->weir->shared;
	struct exchange_env *x = &k->clients.x;

	k->servers.guc_store = x->guc_store = guc_store_new(seeds[SEED_GUCS], shared->sessions);
	x->statements = statement_store_new(seeds[SEED_STATEMENTS], shared->statement_tag, shared->sessions,
					    worker_statement_cache_max(k));
	x->last_token = (uint64_t)k->number << TOKEN_BITS;
	x->hash_seed = seeds[SEED_EXCHANGES];
	k->clients.x.queries = k->weir->queries;
	state_linger_init(x);
	reads_init(x);
}

static void
on_orders(void *worker)
{
	struct worker *k = worker;

	k->now_us = clock_now_us();
	policy_worker_run_orders(k->policy_part, k->now_us);
}

int
worker_make_parts(struct worker *k, struct fail *why)
{
	uint64_t seeds[SEEDS];
	struct pool_set_settings ps = { .env = &k->servers, .dedicated_ops = &dedicated_pool_ops };
	const struct admission_settings refusals = { k->base, k->weir->log, &k->now_us, &k->clients.x.config,
						     &login_admission_ops };

	if (RAND_bytes((unsigned char *)seeds, sizeof(seeds)) != 1)
		return fail_set(why, "58000", "could not get random bytes");
	wake_init(&k->orders_wake, k->inbox, on_orders, k);
	k->policy_part =
	    policy_worker_new(k->weir->shared.commons, k->number, wake_post, &k->orders_wake, &relay_waiter_ops);
	if (k->policy_part == NULL)
		return fail_memory(why, "a worker");
	if (k != k->weir->main_worker && (k->refusals = admission_new(&refusals, why)) == NULL)
		return -1;
	worker_fill_envs(k);
	make_network(k, seeds);
	make_stores(k, seeds);
	ps.statements = k->clients.x.statements;
	ps.worker = k->policy_part;
	ps.last_id = &k->weir->shared.last_id;
	ps.cluster_lives = &k->weir->shared.lives;
	ps.seed = seeds[SEED_POOLS];
	ps.code_registry = k->weir->shared.code_registry;
	ps.pool_workers = k->weir->shared.pool_workers;
	ps.all_sets = k->weir->shared.pools;
	ps.split = k->weir->split;
	ps.number = k->number;
	k->weir->shared.pools[k->number] = k->pools = k->clients.x.pools = pool_set_new(&ps, k->base, k->weir->log);
	k->clients.blocking = blocking_new(k->pools);
	return 0;
}

void
worker_apply(struct worker *k)
{
	struct config *config = k->weir->config;
	const struct setup_files *files = &k->weir->files;
	struct client_env *c = &k->clients;

	c->x.config = config;
	report_configure(&c->x);
	clients_renew_query_budget(c);
	c->users = files->users;
	c->tls = files->tls;
	c->hba = files->hba;
	c->ident = files->ident;
	c->is_client_idle_limited = config->defaults.client_idle_timeout_us > 0;
	for (struct config_section s = { 0 }; config_next_section(config, &s);)
		c->is_client_idle_limited |= s.scope->settings.client_idle_timeout_us > 0;
	resolver_set_file(dialer_resolver(k->servers.dialer), config->resolv_conf);
	statement_store_set_idle_max(c->x.statements, worker_statement_cache_max(k));
	pool_set_configure(k->pools, config, files->users, files->server_tls, k->now_us);
	clients_apply_config(c, k->now_us);
}

/* --- the worker's loop --- */

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *k = arg;
	uint64_t now = clock_now_us(), lag = now - k->last_tick_us;

	timer_rearm_event(k->tick, TICK_US);
	k->now_us = now;
	if (k->last_tick_us != 0)
		histogram_observe_us(&k->counters.loop_lag, &histogram_bounds_proxy, lag > TICK_US ? lag - TICK_US : 0);
	k->last_tick_us = now;
	if (!k->clients.x.is_suspended)
		clients_tick(&k->clients, now);
	pool_set_tick(k->pools, now);
	blocking_tick(k->clients.blocking, now);
	server_losses_log(&k->servers, now);
	if (k->weir->stopping.stage == STOP_NONE)
		pool_set_health_check(k->pools, now);
	passwords_tick(k->servers.passwords);
	restart_worker_tick(k->weir->restart, &k->clients);
	/* Stores the pulse for worker_pulse.c. */
	atomic_store_explicit(&k->pulse.clients, k->clients.pool_client_count, memory_order_relaxed);
	atomic_store_explicit(&k->pulse.servers, pool_set_server_count(k->pools), memory_order_relaxed);
	atomic_store_explicit(&k->pulse.turns, k->counters.loop_iterations, memory_order_relaxed);
	atomic_store_explicit(&k->pulse.at_us, k->now_us, memory_order_release);
	if (k == k->weir->main_worker)
		process_tick(k->weir);
	else
		admission_tick(k->refusals, now);
}

int
worker_begin(struct worker *k)
{
	struct timeval tv = timer_interval(TICK_US);

	k->clients.looked_us = clock_now_us(); /* a standstill before the first tick is noticed, too */
	k->tick = event_new(k->base, -1, EV_PERSIST, on_tick, k);
	return k->tick == NULL ? -1 : event_add(k->tick, &tv);
}

/* --- the worker's end --- */

void
worker_close(struct worker *k)
{
	if (k->tick != NULL)
		event_free(k->tick);
	blocking_free(k->clients.blocking);
	pool_set_free(k->pools);
	if (k->servers.cancelling != NULL)
		server_cancel_abandon(&k->servers);
	dialer_free(k->servers.dialer); /* now that no dial is in progress */
}

bool
worker_read_last(struct worker *k)
{
	bool had_some = k->inbox != NULL && inbox_drain(k->inbox);

	/* There may be more to do after this: a helper's result may put its owner on the list of deferred frees, and if
	 * a client of another worker ends, the main worker gets a note. */
	return (k->clients.x.deferred_frees != NULL && deferred_frees_run(k->clients.x.deferred_frees)) || had_some;
}

void
worker_free_parts(struct worker *k)
{
	struct client_env *c = &k->clients;

	policy_worker_free(k->policy_part);
	deferred_frees_free(c->x.deferred_frees);
	admission_free(k->refusals);
	state_linger_fini(&c->x);
	reads_fini(&c->x);
	scan_cache_fini(&c->x.scanned);
	passwords_free(k->servers.passwords);
	hosts_free(k->servers.hosts);
	statement_store_free(c->x.statements);
	guc_store_free(c->x.guc_store);
	tls_scratch_free(c->tls_scratch);
	free(c->read_buffer);
}

void
worker_free(struct worker *k)
{
	inbox_free(k->inbox);
	if (k->base != NULL)
		event_base_free(k->base);
	OPENSSL_cleanse(k->clients.mock_secret, sizeof(k->clients.mock_secret));
	free(k);
}
