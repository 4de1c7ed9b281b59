/*
 * src/process/process.c - builds the process from its parts, runs the loop, and takes everything down again. See
 * process.h.
 */
#include "process/process_state.h"

#include "admission/admission.h"
#include "client/clients.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/priority.h"
#include "build.h"
#include "client/cancel.h"
#include "config/config_state.h"
#include "dedicated/notify_listener.h"
#include "login/login.h"
#include "lookup/auth_query.h"
#include "lookup/verifier_cache.h"
#include "os/os.h"
#include "relay/relay.h"
#include "server/hosts.h"
#include "setup/setup.h"
#include "state/audit.h"
#include "state/state.h"
#include "statements/statements.h"
#include "telemetry/fingerprint.h"
#include "telemetry/query_table.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define READ_CAP ((size_t)64 << 10)
#define STATE_DESCRIPTORS 64

/* --- what the parts report --- */

/* Its trace stands for the bucket of query_duration that it is counted in. */
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
on_report(void *up, const struct request_report *report)
{
	struct weir *w = up;

	slowlog_write(w->slowlog, report, w->now_us);
	if (slowlog_last_trace(w->slowlog)[0] != '\0' && report->phase_us[PHASE_SERVER] > 0)
		keep_exemplar(w, report);
}

static void
on_query(void *up, const struct request_report *report, uint32_t weight)
{
	struct weir *w = up;

	query_table_add(w->queries, report, weight);
}

uint64_t
weir_normalize(const char *sql, size_t sql_len, unsigned options, char *out, size_t out_cap)
{
	struct fingerprint fp;

	fingerprint_sql(sql, sql_len, options, out, out_cap, &fp);
	return fp.hash;
}

static void
on_client_gone(void *up, struct client *c)
{
	struct weir *w = up;

	restart_client_gone(w->restart, c);
	if (w->is_stopping)
		weir_stop_if_empty(w);
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
	struct weir *w = x->env->up;

	restart_client_released(w->restart, x);
}

static void
on_crossing_heard(struct exchange *x)
{
	struct weir *w = x->env->up;

	restart_crossing_heard(w->restart, x);
}

static bool
on_strange_cancel(void *up, struct client *asker, uint32_t pid, const uint8_t *key, size_t key_len)
{
	struct weir *w = up;

	return restart_forward_cancel(w->restart, asker, pid, key, key_len);
}

static void
on_far_cancel_over(void *up, uint64_t number)
{
	struct weir *w = up;

	restart_cancel_over(w->restart, number);
}

/* --- events --- */

/* It ends a pause, as PgBouncer's does. When there is none, and the configuration is pgweir's own, it restarts. */
static void
on_sigusr2(struct weir *w)
{
	bool is_theirs = w->config->compat == COMPAT_PGBOUNCER;
	struct fail why;

	if (is_theirs && w->is_stopping)
		log_info(w->log, "got SIGUSR2 while shutting down, ignoring");
	else if (is_theirs || pool_set_is_paused(w->pools) || w->clients.x.is_suspended) {
		log_info(w->log, "resumed");
		weir_resume(w, NULL);
	} else if (weir_restart(w, &why) < 0)
		log_warning(w->log, "no restart: %s", why.text);
}

static void
on_sigusr1(struct weir *w)
{
	struct fail why;

	if (restart_may_hold(w->restart, &why) < 0) {
		log_warning(w->log, "not paused: %s", why.text);
		return;
	}
	log_info(w->log, "paused");
	pool_set_pause(w->pools, NULL, w->now_us);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct weir *w = arg;
	bool is_theirs = w->config->compat == COMPAT_PGBOUNCER;
	struct fail why;

	(void)what;
	w->now_us = clock_now_us();
	switch (number) {
	case SIGHUP:
		if (weir_reload(w, &why) < 0)
			weir_reopen_logs(w); /* logrotate has moved them, whatever is wrong with the file */
		break;
	case SIGTERM:
		weir_stop(w, is_theirs ? SHUTDOWN_CLIENTS : SHUTDOWN_SERVERS);
		break;
	case SIGINT:
		weir_stop(w, is_theirs ? SHUTDOWN_SERVERS : SHUTDOWN_NOW);
		break;
	case SIGQUIT:
		weir_stop(w, SHUTDOWN_NOW);
		break;
	case SIGUSR1:
		on_sigusr1(w);
		break;
	case SIGUSR2:
		on_sigusr2(w);
		break;
	default:
		break;
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct weir *w = arg;
	uint64_t now = clock_now_us(), lag = now - w->last_tick_us;

	(void)fd;
	(void)what;
	w->now_us = now;
	if (w->last_tick_us != 0)
		histogram_observe_us(&w->counters.loop_lag, &histogram_bounds_proxy, lag > TICK_US ? lag - TICK_US : 0);
	w->last_tick_us = now;
	if (!w->clients.x.is_suspended)
		clients_tick(&w->clients, now);
	pool_set_tick(w->pools, now);
	server_losses_tell(&w->servers, now);
	if (!w->is_stopping)
		pool_set_scout(w->pools, now);
	auth_queries_tick(w->clients.x.auth_queries, now);
	passwords_tick(w->passwords);
	console_tick(w->console, now);
	weir_watch_memory(w);
	weir_stop_tick(w);
	restart_tick(w->restart);
}

/* --- starting --- */

/*
 * Raises the limit to one descriptor per client and server, some of our own, and as many again for clients that log in
 * (admission/admission_queue.c).
 */
static void
raise_descriptor_limit(struct weir *w)
{
	rlim_t need = (rlim_t)w->config->max_client_connections * 2 + STATE_DESCRIPTORS;
	rlim_t want = need + (w->config->max_client_connections > 1000 ? w->config->max_client_connections : 1000);
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	admission_set_descriptors(w->clients.admission, r.rlim_cur);
	if (r.rlim_cur >= want)
		return;
	r.rlim_cur = r.rlim_max == RLIM_INFINITY || r.rlim_max >= want ? want : r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	admission_set_descriptors(w->clients.admission, r.rlim_cur);
	if (r.rlim_cur < need)
		log_warning(w->log,
			    "only %llu descriptors are allowed: max_client_connections = %u may not be reached; raise "
			    "LimitNOFILE (ulimit -n) to %llu",
			    (unsigned long long)r.rlim_cur, w->config->max_client_connections,
			    (unsigned long long)need);
}

static const struct exchange_ops exchange_ops = {
	.close = client_close_exchange,
	.peer_text = client_exchange_peer,
	.console_message = weir_console_message,
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
	s->graveyard = c->x.graveyard = w->graveyard;
	s->workers = c->workers = w->workers;
	s->log = c->x.log = w->log;
	s->now_us = c->x.now_us = &w->now_us;
	s->read_buffer = c->read_buffer = w->read_buffer;
	s->read_cap = c->read_cap = READ_CAP;
	s->dialer = w->dialer;
	s->images = c->x.images;
	s->ops = &relay_server_ops;
	s->owner_ops = &pool_set_owner_ops;
	s->counters = &w->counters;
	s->cancelling = &w->cancelling;
	s->losses = &w->losses;
	s->passwords = w->passwords;
	s->hosts = w->hosts;
	s->tls_scratch = c->tls_scratch = w->tls_scratch;
	c->x.counters = &w->counters;
	c->x.up = w;
	c->x.on_report = on_report;
	c->x.on_query = on_query;
	c->x.ops = &exchange_ops;
	c->front = &login_front;
	c->on_console_closed = weir_console_closed;
	c->normalize = weir_normalize;
	c->on_client_gone = on_client_gone;
	c->on_strange_cancel = on_strange_cancel;
	c->on_far_cancel_over = on_far_cancel_over;
	TAILQ_INIT(&c->clients);
}

static int
write_pid_file(struct weir *w, struct fail *why)
{
	int r = os_write_pid_file(w->config, why);

	w->has_pid_file = r == 0;
	return r;
}

static void
serve(struct weir *w)
{
	struct fail why;

	listeners_begin(w->listeners);
	if (w->http != NULL)
		http_own_path(w->http, true);
	if (!w->has_pid_file && write_pid_file(w, &why) < 0)
		log_warning(w->log, "%s", why.text);
	log_info(w->log, "pgweir " PGWEIR_VERSION " is ready (pid %ld)", (long)getpid());
	os_notify("READY=1");
}

static void
give_way(struct weir *w)
{
	weir_stop_http(w);
	w->has_pid_file = false;
}

static void
make_restart(struct weir *w, char *const *argv)
{
	const struct restart_host host = { .w = w,
					   .argv = argv,
					   .clients = &w->clients,
					   .listeners = w->listeners,
					   .serve = serve,
					   .listen_again = weir_listen_again,
					   .give_way = give_way,
					   .stop = weir_stop,
					   .end = weir_end };

	w->restart = restart_new(&host);
}

int
weir_restart(struct weir *w, struct fail *why)
{
	return restart_begin(w->restart, w->http == NULL ? -1 : http_listening_fd(w->http), why);
}

static int
make_parts(struct weir *w, char *const *argv, struct fail *why)
{
	const struct listeners_settings ls = { w->base, w->log, on_accept, on_exhausted, w };
	struct pool_set_settings ps = { .env = &w->servers };
	struct tcp_options tcp;
	struct auth_queries_settings aq = { .counters = &w->counters };
	uint64_t seeds[9];

	if (RAND_bytes((unsigned char *)seeds, sizeof(seeds)) != 1 ||
	    RAND_bytes(w->clients.mock_secret, sizeof(w->clients.mock_secret)) != 1)
		return fail_set(why, "58000", "no randomness");
	w->workers = workers_new(w->base, w->config->handshake_threads, why);
	if (w->workers == NULL)
		return -1;
	w->graveyard = graveyard_new(w->base);
	w->listeners = listeners_new(&ls);
	make_restart(w, argv);
	tcp = setup_tcp_options(w->config);
	w->dialer = dialer_new(w->base, &tcp, w->config->resolv_conf);
	w->passwords = passwords_new(w->base, w->log, &w->now_us);
	w->hosts = hosts_new(seeds[8]);
	w->tls_scratch = tls_scratch_new();
	w->read_buffer = xmalloc(READ_CAP + SERVER_CARRY_MAX);
	w->clients.x.images = image_store_new(seeds[0]);
	w->clients.x.statements = statement_store_new(seeds[1], seeds[4], w->config->prepared_statements_cache);
	w->clients.verifiers = verifier_cache_new(w->workers);
	if (w->clients.verifiers == NULL)
		return fail_set(why, "58000", "no randomness");
	w->clients.x.audit = audit_new(seeds[6]);
	w->queries = query_table_new(w->config->slow_table_size, seeds[7]);
	w->clients.x.hash_seed = seeds[5];
	const struct admission_settings admission = { w->base, w->log, &w->now_us, &w->clients.x.config,
						      &login_admission_ops };
	w->clients.admission = admission_new(&admission, why);
	if (w->clients.admission == NULL)
		return -1;
	fill_envs(w);
	ps.statements = w->clients.x.statements;
	ps.seed = seeds[2];
	ps.companions = &dedicated_companions;
	w->pools = w->clients.x.pools = pool_set_new(&ps, w->base, w->log);
	aq.pools = w->pools;
	aq.seed = seeds[3];
	w->clients.x.auth_queries = auth_queries_new(&aq);
	w->console = weir_console_new(w);
	session_linger_init(&w->clients.x);
	return 0;
}

static int
watch_signals(struct weir *w, struct fail *why)
{
	static const int numbers[WEIR_SIGNALS] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };
	struct timeval tv = { 0, TICK_US };

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* whoever started us may have ignored it, and waitpid() would find nobody */
	for (size_t i = 0; i < WEIR_SIGNALS; i++) {
		w->signals[i] = evsignal_new(w->base, numbers[i], on_signal, w);
		if (w->signals[i] == NULL || event_add(w->signals[i], NULL) < 0)
			return fail_set(why, "53200", "no memory to start");
	}
	os_admit_signals();
	w->tick = event_new(w->base, -1, EV_PERSIST, on_tick, w);
	if (w->tick == NULL || event_add(w->tick, &tv) < 0)
		return fail_set(why, "53200", "no memory to start");
	return 0;
}

/* libevent's own structs are bookkeeping, too: it would end the process, or forget an event. */
static void *
keep_malloc(size_t size)
{
	return xmalloc(size);
}

static void *
keep_realloc(void *p, size_t size)
{
	return xreallocarray(p, size, 1);
}

static struct event_base *
new_base(void)
{
	struct event_config *cfg;
	struct event_base *base = NULL;

	event_set_mem_functions(keep_malloc, keep_realloc, free);
	cfg = event_config_new();
	if (cfg == NULL)
		return NULL;
	/*
	 * One thread uses it, so no locks; and no changelist, as each descriptor is added once and hardly ever changed.
	 */
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

/*
 * The files were read before, to report every error in them; an error that is new since then is reported in one line.
 */
static int
load_files(struct weir *w, struct fail *why)
{
	struct config_problems problems = { 0 };
	int r = setup_load_files(w->config, &w->files, &problems);

	for (size_t i = problems.count; i-- > 0;)
		if (problems.list[i].is_error)
			fail_set(why, "F0000", "%s", problems.list[i].text); /* the first of them */
	for (size_t i = 0; r == 0 && i < problems.count; i++) {
		char text[PROBLEM_TEXT_MAX + 512];

		config_problem_plain(&problems.list[i], text, sizeof(text));
		log_warning(w->log, "%s", text);
	}
	config_problems_fini(&problems);
	return r;
}

/* Everything that listens. With a predecessor, nothing is accepted yet. */
static int
open_addresses(struct weir *w, int predecessor, struct fail *why)
{
	if (predecessor >= 0 && restart_meet_predecessor(w->restart, predecessor, why) < 0)
		return -1;
	return weir_start_http(w, why) == 0 && listeners_adopt(w->listeners, w->config, why) == 0 &&
		       listeners_listen(w->listeners, w->config, why) == 0
		   ? 0
		   : -1;
}

static int
become_user(struct weir *w, struct fail *why)
{
	int r = os_become_user(w->config, w->log, why);

	if (r > 0)
		setup_warn_as_user(w->config, w->log);
	return r < 0 ? -1 : 0;
}

struct weir *
weir_new(struct config *config, const struct weir_start *start, struct fail *why)
{
	struct weir *w = xcalloc(1, sizeof(*w));

	TAILQ_INIT(&w->clients.clients);
	w->config = config_ref(config);
	w->now_us = clock_now_us();
	w->start_wall_us = w->last_reload_wall_us = clock_wall_us();
	w->last_reload_ok = true;
	w->base = new_base();
	if (w->base == NULL)
		fail_set(why, "53200", "no event loop");
	else if (setup_open_logs(w->config, &w->log, &w->slowlog, why) == 0 && make_parts(w, start->argv, why) == 0 &&
		 load_files(w, why) == 0) {
		setup_warn_of_secrets(config, w->log);
		raise_descriptor_limit(w);
		weir_apply(w);
		if (watch_signals(w, why) == 0 && open_addresses(w, start->predecessor, why) == 0 &&
		    (start->predecessor >= 0 || write_pid_file(w, why) == 0) && become_user(w, why) == 0) {
			weir_limit_memory(w);
			return w;
		}
	}
	restart_tell_failure(w->restart, start->predecessor, why);
	weir_free(w);
	return NULL;
}

static void
close_clients(struct weir *w)
{
	struct fail why;

	fail_set(&why, "57P01",
		 restart_has_successor(w->restart) ? "pgweir has been restarted; please connect again"
						   : "pgweir is shutting down");
	while (!TAILQ_EMPTY(&w->clients.clients))
		client_close(TAILQ_FIRST(&w->clients.clients), &why);
}

void
weir_run(struct weir *w)
{
	if (restart_is_waiting_for_go(w->restart))
		restart_tell_ready(w->restart);
	else
		serve(w);
	priority_low_latency();
	do {
		event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
		w->counters.loop_iterations++;
	} while (!event_base_got_break(w->base) && !event_base_got_exit(w->base));
	restart_forget_predecessor(w->restart); /* clients that are not ours yet */
	close_clients(w);
	restart_forget_successor(w->restart); /* the restart is over: another one may begin there */
	/* Their requests are cancelled; this gives PostgreSQL a moment to receive the cancels. */
	for (uint64_t end_us = clock_now_us() + US_PER_S; !pool_set_is_quiet(w->pools, NULL) && w->now_us < end_us;)
		event_base_loop(w->base, EVLOOP_ONCE);
	log_info(w->log, "stopped");
}

static void
free_events(struct weir *w)
{
	for (size_t i = 0; i < WEIR_SIGNALS; i++)
		if (w->signals[i] != NULL)
			event_free(w->signals[i]);
	if (w->tick != NULL)
		event_free(w->tick);
	if (w->http_asks != NULL)
		event_free(w->http_asks);
	session_linger_fini(&w->clients.x);
	listeners_free(w->listeners);
}

void
weir_free(struct weir *w)
{
	if (w == NULL)
		return;
	w->is_ending = w->is_stopping = true;
	restart_forget_predecessor(w->restart);
	w->clients.x.is_closed = w->clients.x.is_draining = true;
	close_clients(w);
	restart_forget_successor(w->restart);
	console_free(w->console);
	auth_queries_free(w->clients.x.auth_queries);
	pool_set_free(w->pools);
	if (w->servers.cancelling != NULL)
		server_cancel_abandon(&w->servers);
	cancel_abandon_passed(&w->clients);
	workers_free(w->workers); /* returns work under way, whose owners then go to the graveyard */
	graveyard_free(w->graveyard);
	http_free(w->http); /* the metrics go last */
	free_events(w);
	passwords_free(w->passwords);
	hosts_free(w->hosts);
	dialer_free(w->dialer);
	verifier_cache_free(w->clients.verifiers);
	restart_free(w->restart);
	audit_free(w->clients.x.audit);
	admission_free(w->clients.admission);
	statement_store_free(w->clients.x.statements);
	image_store_free(w->clients.x.images);
	free(w->clients.keyed);
	tls_scratch_free(w->tls_scratch);
	free(w->read_buffer);
	if (w->has_pid_file)
		os_remove_pid_file(w->config, w->log);
	query_table_free(w->queries);
	slowlog_free(w->slowlog);
	log_free(w->log);
	config_problems_fini(&w->problems);
	weir_forget_changes(w);
	weir_overrides_fini(&w->overrides);
	setup_files_fini(&w->files);
	config_unref(w->config);
	if (w->base != NULL)
		event_base_free(w->base);
	OPENSSL_cleanse(w->clients.mock_secret, sizeof(w->clients.mock_secret));
	free(w);
}
