/* tests/fuzz/session_world.c - see session_world.h. */
#include "session_world.h"

#include "auth/encoding.h"
#include "client/clients.h"
#include "base/clock.h"
#include "listen/listen.h"
#include "pool/pool_workers.h"
#include "config/config_origin.h"
#include "session_quiet.h"
#include "load/load_state.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TURNS_MAX 500
#define TURN_US 50
#define INI "pgweir.ini"

/* Sockets and users_files, once per process: the fuzzer has no place of its own to keep them. */
static const char *folder;
static struct scram_verifier verifier;
static int postgres_fd;

static void
path_of(const char *name, char path[static 128])
{
	snprintf(path, 128, "%s/%s", folder, name);
}

static void
empty_folder(void)
{
	static const char *const names[] = { ".s.PGSQL.5432", ".s.PGSQL.6432", "verifiers.txt", "plain.txt", INI };
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_of(names[i], path);
		unlink(path);
	}
}

static void
write_users(const char *name, const char *secret)
{
	char path[128];
	FILE *f;

	path_of(name, path);
	f = fopen(path, "we");
	must(f != NULL);
	fchmod(fileno(f), 0600);
	fprintf(f, "\"u\" \"%s\"\n\"v\" \"%s\"\n\"admin\" \"%s\"\n", secret, secret, secret);
	must(fclose(f) == 0);
}

static void
make_folder(void)
{
	static const uint8_t salt[16] = {
		's', 'i', 'x', 't', 'e', 'e', 'n', ' ', 'b', 'y', 't', 'e', 's', '.', '.', '.'
	};
	char text[200], salt_text[BASE64_LEN(16) + 1], stored[BASE64_LEN(32) + 1], server[BASE64_LEN(32) + 1];
	char path[128];
	struct fail why;

	if (folder != NULL)
		return;
	folder = quiet_folder();
	atexit(empty_folder);
	/* One iteration: what a login costs is not what is tried here. */
	must(scram_verifier_from_password(SESSION_PASSWORD, salt, sizeof(salt), 1, &verifier, &why) == 0);
	base64_encode(salt, sizeof(salt), salt_text);
	base64_encode(verifier.stored_key, 32, stored);
	base64_encode(verifier.server_key, 32, server);
	snprintf(text, sizeof(text), "SCRAM-SHA-256$1:%s$%s:%s", salt_text, stored, server);
	write_users("verifiers.txt", text);
	write_users("plain.txt", SESSION_PASSWORD);
	path_of(".s.PGSQL.5432", path);
	postgres_fd = fake_listen(path);
}

/* --- configuration --- */

/* Words of the first line, each a line of the file, in the section it is sorted to. Unknown words mean nothing. */
static const struct {
	const char *word, *section, *line;
} words[] = {
	{ "session", "pgweir", "pool_mode = session" },
	{ "statement", "pgweir", "pool_mode = statement" },
	{ "pin", "pgweir", "session_state = pin" },
	{ "warn", "pgweir", "session_state = warn" },
	{ "error", "pgweir", "session_state = error" },
	{ "allow", "pgweir", "session_state = allow" },
	{ "isolate", "pgweir", "session_state = isolate" },
	{ "sent", "pgweir", "begin = sent" },
	{ "deferred", "pgweir", "begin = deferred" },
	{ "bouncer", "pgweir", "compat = pgbouncer" },
	{ "earlier", "pgweir", "compat = pgbouncer_1_25" },
	{ "few", "pgweir", "max_client_connections = 2" },
	{ "sharing", "pool", "max_pipeline = 2" },
	{ "deeply", "pool", "max_pipeline = 4" },
	{ "keeping", "pool", "keep_plans = on" },
	{ "patiently", "pool", "max_pipeline_wait = 1s" },
	{ "capped", "pgweir", "max_server_connections = 1" },
	{ "md5", "auth", "method = md5" },
	{ "scram", "auth", "method = scram-sha-256" },
	{ "trust", "auth", "method = trust" },
	{ "ample", "pool", "pool_size = 8" },
	{ "two", "pool", "pool_size = 2" },
	{ "one", "pool", "pool_size = 1" },
	{ "overflow", "pool", "max_overflow = 1" },
	{ "nolinger", "pool", "overflow_linger = 0s" },
	{ "idle", "pool", "min_idle = 1" },
	{ "ping", "pool", "pool_pre_ping_idle = 0s" },
	{ "fifo", "pool", "pool_lifo = off" },
	{ "passed", "pool", "prepared_statements = 0" },
	{ "lru", "pool", "prepared_statements = 2" },
	{ "short", "pool", "max_statement_size = 40B" },
	{ "comments", "pool", "statement_ignore_comments = on" },
	{ "recycle", "pool", "pool_recycle = 1s" },
	{ "impatient", "pool", "pool_timeout = 2s" },
	{ "hold", "pool", "on_outage = hold" },
	{ "wait", "pool", "on_outage = wait" },
	{ "checked", "pool", "commit_check = on" },
	{ "marked", "pool", "reads = marked" },
	{ "preferring", "pool", "reads = prefer_standby" },
	{ "query", "timeouts", "query_timeout = 3s" },
	{ "transaction", "timeouts", "transaction_timeout = 3s" },
	{ "idling", "timeouts", "idle_transaction_timeout = 3s" },
	{ "silent", "timeouts", "client_idle_timeout = 3s" },
	{ "slow", "slow_query", "threshold = 0ms" },
	{ "full", "slow_query", "text = full" },
#ifdef WITH_SLOWLOG
	{ "postgres", "slow_query", "format = postgres" },
#endif
	{ "connections", "log", "connections = on" },
};

#define WORDS (sizeof(words) / sizeof(words[0]))

const char *
world_word(size_t i)
{
	return i < WORDS ? words[i].word : NULL;
}

static bool
has_word(const char *options, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = options; (at = strstr(at, word)) != NULL; at += len)
		if ((at == options || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

/* At most one of the words that set the same key: the first of the table. */
static bool
is_taken(const char *options, size_t i)
{
	size_t key_len = strcspn(words[i].line, "=");

	if (!has_word(options, words[i].word))
		return false;
	for (size_t j = 0; j < i; j++)
		if (strncmp(words[j].line, words[i].line, key_len) == 0 &&
		    strcmp(words[j].section, words[i].section) == 0 && has_word(options, words[j].word))
			return false;
	return true;
}

static bool
is_set(const char *options, const char *key)
{
	for (size_t i = 0; i < WORDS; i++)
		if (strncmp(words[i].line, key, strlen(key)) == 0 && is_taken(options, i))
			return true;
	return false;
}

static void
put_config(struct buf *to, const char *options, bool is_other)
{
	const char *host = has_word(options, "named") ? "postgres.example" : folder;
	static const char *const sections[] = { "pgweir", "pool", "timeouts", "auth", "slow_query", "log" };

	for (size_t s = 0; s < sizeof(sections) / sizeof(sections[0]); s++) {
		buf_printf(to, "[%s]\n", sections[s]);
		for (size_t i = 0; i < WORDS; i++)
			if (strcmp(words[i].section, sections[s]) == 0 && is_taken(options, i))
				buf_printf(to, "%s\n", words[i].line);
		if (s == 0)
			buf_printf(to, "listen = unix:%s/.s.PGSQL.6432\n", folder);
		if (s == 1 && !is_set(options, "pool_size"))
			buf_printf(to, "pool_size = %d\n", is_other ? 2 : 1);
		if (s == 1 && !is_set(options, "max_overflow"))
			buf_printf(to, "max_overflow = %d\n", is_other ? 1 : 0);
		if (s == 2 && has_word(options, "named")) /* not in words[]: only tests/sim has a resolver */
			buf_printf(to, "connect_timeout = 1s\n");
		if (s == 3) {
			buf_printf(to, "%s", is_set(options, "method") ? "" : "method = trust\n");
			buf_printf(to, "users_file = %s/%s.txt\nadmin_users = admin\n", folder,
				   has_word(options, "md5") || has_word(options, "plain") ? "plain" : "verifiers");
		}
		if (s == 4 && !is_set(options, "threshold"))
			buf_printf(to, "threshold = off\n");
	}
	buf_printf(to, "[http]\nlisten = off\n[database *]\nupstream = host=%s port=5432\n", host);
	buf_printf(to, "[database shared]\nupstream = host=%s port=5432 dbname=app user=u password=%s\n", host,
		   SESSION_PASSWORD);
	if (!is_other)
		buf_printf(to, "[database gone]\nupstream = host=%s port=5432 application_name=gone\n", host);
	must(buf_ok(to));
}

static struct config *
make_config(const char *options)
{
	struct config_problems problems = { 0 };
	struct config *config;
	struct buf b = { 0 };
	char path[128];

	put_config(&b, options, false);
	path_of(INI, path); /* it need not be there before the first reload */
	config = load_text((const char *)b.bytes, b.len, path, NULL, 0, &problems);
	for (size_t i = 0; i < problems.count && config == NULL; i++)
		fprintf(stderr, "%s\n", problems.list[i].text);
	must(config != NULL);
	config_problems_fini(&problems);
	buf_fini(&b);
	return config;
}

bool
world_reload(struct world *w)
{
	struct buf b = { 0 };
	struct fail why;
	char path[128];
	FILE *f;

	put_config(&b, w->options, !w->is_reloaded);
	path_of(INI, path);
	f = fopen(path, "we");
	must(f != NULL && fwrite(b.bytes, 1, b.len, f) == b.len);
	must(fclose(f) == 0);
	buf_fini(&b);
	w->weir->main_worker->now_us = clock_now_us();
	if (process_reload(w->weir, &why) < 0)
		return false;
	w->is_reloaded = !w->is_reloaded;
	return true;
}

bool
world_pause(struct world *w, bool on)
{
	struct fail why;

	w->weir->main_worker->now_us = clock_now_us();
	return (on ? process_pause(w->weir, NULL, &why) : process_resume(w->weir, NULL, &why)) == 0;
}

void
world_reconnect(struct world *w)
{
	uint64_t now_us = clock_now_us();

	for (struct worker *k = w->weir->main_worker; k != NULL; k = k->next) {
		k->now_us = now_us;
		pool_set_close_all(k->pools, NULL, RR_RELOAD, now_us);
	}
}

struct server *
world_find_server(const struct world *w, uint32_t pid)
{
	struct server *srv;

	for (const struct worker *k = w->weir->main_worker; k != NULL; k = k->next)
		for (struct pool *e = pool_set_first(k->pools); e != NULL; e = e->next)
			TAILQ_FOREACH(srv, &e->servers, all)
				if (srv->pid == pid)
					return srv;
	return NULL;
}

struct client *
world_find_client(const struct world *w, uint64_t id)
{
	struct client *c = NULL;

	for (struct worker *k = w->weir->main_worker; k != NULL && c == NULL; k = k->next)
		c = client_find_by_id(&k->clients, id);
	return c;
}

/* --- time and turns --- */

/* Of the run before. */
static void
forget_ini(void)
{
	char path[128];

	path_of(INI, path);
	unlink(path);
}

static bool
has_read(const struct fake_conn *c)
{
	const struct world *w = (const struct world *)((const char *)c->fake - offsetof(struct world, fake));
	const struct server *srv = world_find_server(w, c->pid);

	return srv != NULL && srv->ledger.count == 0;
}

void
world_init(struct world *w, const char *options, unsigned workers)
{
	struct process_start start = { .predecessor_fd = -1, .workers = workers };
	struct config *config;
	struct fail why;

	make_folder();
	forget_ini();
	quiet_reset(1);
	*w = (struct world){ .options = options };
	fake_init(&w->fake, postgres_fd, &verifier);
	w->fake.code = state_words(options);
	w->fake.has_read = has_read;
	w->fake.is_leaky = has_word(options, "allow");
	w->fake.reports_at_once = has_word(options, "old");
	w->fake.is_code_unknown = has_word(options, "session"); /* where nobody asks */
	config = make_config(options);
	start.shard_min = has_word(options, "parted") ? 1 : 0;
	w->weir = process_new(config, &start, &why);
	if (w->weir == NULL)
		fprintf(stderr, "%s\n", why.text);
	must(w->weir != NULL);
	config_unref(config);
	for (int i = 0; i < TEXT_CLIENTS; i++)
		fclient_init(&w->clients[i], (char)('A' + i));
	fclient_init(&w->canceller, 'X');
}

static bool
turn(struct world *w)
{
	bool has_moved = false;

	quiet_pass(TURN_US);
	for (struct worker *k = w->weir->main_worker; k != NULL; k = k->next)
		event_base_loop(k->base, EVLOOP_NONBLOCK);
	has_moved |= fake_turn(&w->fake);
	for (int i = 0; i < TEXT_CLIENTS; i++)
		has_moved |= fclient_turn(&w->clients[i]);
	has_moved |= fclient_turn(&w->canceller);
	return has_moved;
}

void
world_settle(struct world *w)
{
	for (int i = 0, quiet = 0; i < TURNS_MAX && quiet < 3 && w->weir->stopping.stage != STOP_ENDING; i++)
		quiet = turn(w) ? 0 : quiet + 1;
}

void
world_pass(struct world *w, uint64_t us)
{
	quiet_pass(us);
	turn(w);
	world_settle(w);
}

/* 0: there is no client. */
static uint64_t
newest_id(const struct client_env *clients)
{
	const struct client *newest = TAILQ_LAST(&clients->clients, client_list);

	return newest != NULL ? newest->x.waiter.id : 0;
}

void
world_connect(struct world *w, struct fake_client *c)
{
	struct sockaddr_un {
		sa_family_t family;
	} peer = { AF_UNIX };
	uint64_t before, newest;
	int pair[2];

	if (w->weir->stopping.stage != STOP_NONE)
		return;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	w->weir->main_worker->now_us = clock_now_us();
	before = newest_id(&w->weir->main_worker->clients);
	client_accept(&w->weir->main_worker->clients, pair[1], (const struct sockaddr *)&peer, true);
	newest = newest_id(&w->weir->main_worker->clients);
	fclient_open(c, pair[0], newest != before ? newest : 0);
	c->is_leak_free = !has_word(w->options, "allow");
	c->shares_names = has_word(w->options, "passed") && !has_word(w->options, "session");
}

/* --- the end --- */

/* Who owes nothing and is owed nothing has had an answer to everything. */
static void
check_idle(struct world *w, const struct fake_client *f)
{
	const struct client *c = f->fd < 0 ? NULL : world_find_client(w, f->id);

	if (c != NULL && c->x.state == CL_READY && client_activity(c) == CLIENT_IS_IDLE && c->x.pending_len == 0)
		fclient_check_answered(f);
}

static void
check_counts(const struct weir *w, const struct worker *k)
{
	const struct client_env *env = &k->clients;

	must(TAILQ_EMPTY(&env->clients) && env->pool_client_count == 0 && env->login_count == 0 &&
	     env->cancel_count == 0);
	must(env->x.name_bytes == 0);
	must(w->stopping.stage == STOP_ENDING || pool_workers_count_moved_clients(w->shared.pool_workers) == 0);
	must(w->stopping.stage == STOP_ENDING || admission_user_clients(w->shared.admission, "u") == 0);
	must(w->stopping.stage == STOP_ENDING || pool_set_is_quiet(k->pools, NULL));
	for (const struct pool *e = pool_set_first(k->pools); e != NULL; e = e->next) {
		struct policy_counts counts;

		policy_get_counts(e->policy, &counts);
		must(e->clients == 0 && counts.waiting == 0);
		must(w->stopping.stage == STOP_ENDING || counts.lent == 0);
	}
}

static bool
is_over(const struct weir *w)
{
	for (const struct worker *k = w->main_worker; k != NULL && w->stopping.stage != STOP_ENDING; k = k->next)
		if (!TAILQ_EMPTY(&k->clients.clients) || !pool_set_is_quiet(k->pools, NULL))
			return false;
	return w->stopping.stage == STOP_ENDING || pool_workers_count_moved_clients(w->shared.pool_workers) ==
						       0; /* the main worker has heard of all ends */
}

void
world_leave(struct world *w)
{
	fake_behave(&w->fake);
	for (int i = 0; i < TEXT_CLIENTS; i++) {
		w->clients[i].is_deaf = false;
		w->clients[i].allowed = SIZE_MAX;
		w->clients[i].piece = 0;
	}
	world_settle(w);
	for (int i = 0; i < TEXT_CLIENTS; i++)
		check_idle(w, &w->clients[i]);
	for (int i = 0; i < TEXT_CLIENTS; i++)
		fclient_close(&w->clients[i]);
	fclient_close(&w->canceller);
	world_settle(w);
	/*
	 * What is done to a server whose client has left has limits in time; and who has sent too much while it waits
	 * for a server is not read before pool_timeout. A loop that has stood still for a second begins some anew.
	 */
	for (int i = 0; i < 60 && !is_over(w->weir); i++) {
		fake_behave(&w->fake);
		world_pass(w, 800 * US_PER_MS);
	}
	for (const struct worker *k = w->weir->main_worker; k != NULL && w->weir->stopping.stage != STOP_ENDING;
	     k = k->next)
		check_counts(w->weir, k);
}

void
world_free(struct world *w)
{
	process_free(w->weir);
	fake_fini(&w->fake);
}

void
world_fini(struct world *w)
{
	world_leave(w);
	world_free(w);
}
