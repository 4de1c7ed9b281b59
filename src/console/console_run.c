/* src/console/console_run.c - runs each command. See console_client.h. */
#include "console/console_client.h"
#include "client/client.h"
#include "client/clients.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/text.h"
#include "config/compat.h"
#include "dedicated/blocking.h"
#include "wire/messages.h"

#include <inttypes.h>
#include <stdio.h>

#define CHANGES_SHOWN_MAX 100

static struct client_env *
env_of(const struct console_client *cc)
{
	return cc->console->host.main_env;
}

/* --- reading --- */

/* Checks the permission by the present lists of users: a reload may have changed them since the login, or since the
 * command was parsed. */
static int
check_permission(const struct console_client *cc, const struct command_row *row, struct fail *why)
{
	const struct config *config = env_of(cc)->x.config;
	const char *user = exchange_user(&cc->c->x);
	bool is_admin = cc->c->is_own_user || config_is_admin(config, user);

	if (is_admin || config_is_stats_user(config, user))
		return command_check_permission(row, !is_admin, why);
	return fail_set(why, "42501", "user \"%.63s\" may no longer use the pgweir console", user);
}

int
console_parse_statement(struct console_client *cc, const char *text, size_t len, size_t *used, struct command *out,
			struct fail *why)
{
	if (command_parse(text, len, used, out, why) < 0)
		return -1;
	return out->row == NULL ? 0 : check_permission(cc, out->row, why);
}

/* --- rows --- */

static struct show_env
show_env_of(const struct console *k, const struct command *command)
{
	return (struct show_env){ .host = &k->host,
				  .clients = k->host.main_env,
				  .stats = k->stats,
				  .command = command,
				  .now_us = *k->host.main_env->x.now_us,
				  .wall_us = clock_wall_us() };
}

/* Asks PostgreSQL which sessions block which, if the command's rows show that. Returns true while answers are due. */
static bool
ask_locks(const struct console_host *host, const struct command *command)
{
	const struct show *show = command->row != NULL ? show_find(host->main_env->x.config, command->row->id) : NULL;
	bool is_asked = false;
	struct fail why;

	if (show == NULL || show->scope != OF_ALL_WITH_BLOCKERS ||
	    host->halt(host->w, &why) < 0) /* fill_rows() will fail, too, and say why */
		return false;
	for (struct client_env *const *of = host->client_envs; *of != NULL; of++)
		is_asked |= blocking_ask((*of)->blocking, *(*of)->x.now_us);
	host->leave_halt(host->w);
	return is_asked;
}

bool
console_ask_locks(struct console_client *cc, const struct command *command)
{
	if (ask_locks(&cc->console->host, command))
		cc->wait = WAIT_BLOCKING;
	return cc->wait == WAIT_BLOCKING;
}

size_t
console_get_columns(const struct console *k, const struct command *command, struct column *scratch,
		    const struct column **out)
{
	const struct show *show;

	if (command->row == NULL || command->row->id >= COMMAND_WITH_ROWS)
		return 0;
	show = show_find(k->host.main_env->x.config, command->row->id);
	if (show == NULL) {
		*scratch = (struct column){ command->setting->name, COLUMN_TEXT };
		*out = scratch;
		return 1;
	}
	*out = show->columns;
	return show_column_count(show, k->host.client_envs);
}

/* Fills the rows. Halts the other workers meanwhile if the rows show their objects. Returns 0, or -1 with *why set. */
static int
fill_rows(const struct show *show, const struct show_env *env, struct rows *rows, struct fail *why)
{
	const struct console_host *host = env->host;

	if (show->fill == NULL)
		return 0;
	if (show->scope != OF_MAIN_WORKER && host->halt(host->w, why) < 0)
		return -1;
	show->fill(env, rows);
	if (show->scope != OF_MAIN_WORKER)
		host->leave_halt(host->w);
	return 0;
}

int
console_put_rows(struct console_client *cc, const struct command *command, struct buf *out, uint64_t *count,
		 struct fail *why)
{
	const struct show *show = show_find(env_of(cc)->x.config, command->row->id);
	struct show_env env = show_env_of(cc->console, command);
	struct rows rows = { .out = out };
	struct column scratch;

	if (check_permission(cc, command->row, why) < 0)
		return -1;
	env_of(cc)->x.counters->console_commands++;
	rows.column_count = console_get_columns(cc->console, command, &scratch, &rows.columns);
	rows.like = command->has_text ? command->text : NULL;
	if (show == NULL)
		rows_add(&rows, &(struct show_text){ command->setting->value });
	/* If the stream is broken, no client reads the rows, and filling many would hold up the loop. */
	else if (!cc->c->x.stream.is_broken && fill_rows(show, &env, &rows, why) < 0)
		return -1;
	*count = rows.count;
	if (buf_ok(out))
		return 0;
	fail_set(why, "54000", "the answer is larger than %zu MiB", ANSWER_MAX >> 20);
	return fail_hint(why, "LIKE 'pattern' shows a part of it.");
}

bool
console_put_rows_json(const struct console *k, const char *sql, uint64_t rows_max, bool is_late, struct buf *out)
{
	struct command command;
	struct show_env env = show_env_of(k, &command);
	struct rows rows = { .out = out, .json_rows_max = rows_max };
	const struct show *show = NULL;
	struct fail why;
	size_t used;
	bool is_filled = true;

	if (command_parse(sql, strlen(sql), &used, &command, &why) == 0)
		show = show_find(k->host.main_env->x.config, command.row->id);
	if (show != NULL && ask_locks(&k->host, &command) && !is_late)
		return false;
	buf_put_u8(out, '[');
	if (show != NULL) {
		rows.columns = show->columns;
		rows.column_count = show_column_count(show, k->host.client_envs);
		is_filled = fill_rows(show, &env, &rows, &why) == 0;
	}
	if (is_filled) {
		buf_put_u8(out, ']');
		return true;
	}
	buf_fini(out);
	buf_printf(out, "null");
	return true;
}

/* --- pools --- */

static const char *
database_of(const struct command *command)
{
	return command->has_name ? command->name : NULL;
}

/* Accepts databases that have their own section, or that a client has used. Returns 0, or -1 with *why set. */
static int
check_database(struct console_client *cc, const struct command *command, struct fail *why)
{
	const struct client_env *env = env_of(cc);
	const struct config_scope *scope;
	const char *near;

	if (!command->has_name)
		return 0;
	for (struct client_env *const *of = cc->console->host.client_envs; *of != NULL; of++)
		if (pool_set_find_database((*of)->x.pools, command->name) != NULL)
			return 0;
	scope = config_find_database(env->x.config, command->name);
	if (scope != NULL && strcmp(scope->name, command->name) == 0)
		return 0;
	near = config_suggest_database(env->x.config, command->name);
	fail_set(why, "3D000", "database \"%s\" is not known", command->name);
	fail_pgbouncer_text(why, "no such database: %s", command->name);
	return near != NULL ? fail_hint(why, "Did you mean %s?", near) : fail_hint(why, "SHOW DATABASES lists them.");
}

static bool
is_paused(const struct pool_set *pools, const char *database)
{
	const struct pool_database *d = database != NULL ? pool_set_find_database(pools, database) : NULL;

	return database == NULL ? pool_set_is_paused(pools) : d != NULL && d->is_paused;
}

/* Returns true if a server that is to be closed is still open. */
static bool
has_closing_server(struct client_env *const *client_envs, const char *database)
{
	const struct server *srv;

	for (struct pool *pool = clients_walk_pools(client_envs, NULL); pool != NULL;
	     pool = clients_walk_pools(client_envs, pool)) {
		if (database != NULL && strcmp(pool->database->name, database) != 0)
			continue;
		TAILQ_FOREACH(srv, &pool->servers, all)
			if (srv->conn != NULL && (srv->conn->is_recycle_due || srv->conn->state == PC_CLOSING))
				return true;
	}
	return false;
}

/* For WAIT_QUIET, returns true if no worker has a server in use; for WAIT_BLOCKING, returns true if no worker still
 * waits for an answer about locks. */
static bool
is_over_on_all(struct client_env *const *client_envs, enum wait_kind wait, const char *database)
{
	for (; *client_envs != NULL; client_envs++)
		if (wait == WAIT_QUIET ? !pool_set_is_quiet((*client_envs)->x.pools, database)
				       : blocking_is_asking((*client_envs)->blocking))
			return false;
	return true;
}

/* Returns true if the wait is over. If a worker does not answer, only WAIT_BLOCKING is over, because this worker's
 * answer about locks might never come. */
static bool
is_wait_over(const struct console_client *cc, const char *database)
{
	const struct console_host *host = &cc->console->host;
	struct fail why;
	struct client_env *const *client_envs = host->client_envs;
	bool is_over;

	if (host->halt(host->w, &why) < 0)
		return cc->wait == WAIT_BLOCKING;
	is_over = cc->wait == WAIT_FLUSHED  ? clients_are_flushed(client_envs)
		  : cc->wait == WAIT_CLOSED ? !has_closing_server(client_envs, database)
					    : is_over_on_all(client_envs, cc->wait, database);
	host->leave_halt(host->w);
	return is_over;
}

int
console_check_wait(const struct console_client *cc, struct fail *why)
{
	const char *database = cc->has_wait_database ? cc->wait_database : NULL;

	switch (cc->wait) {
	case WAIT_QUIET:
		if (!is_paused(env_of(cc)->x.pools, database))
			return fail_set(why, "57014", "PAUSE was undone by a RESUME");
		return is_wait_over(cc, database);
	case WAIT_FLUSHED:
		return !env_of(cc)->x.is_suspended || is_wait_over(cc, database);
	case WAIT_CLOSED:
	case WAIT_BLOCKING:
		return is_wait_over(cc, database);
	case WAIT_TURN:
	case WAIT_NONE:
		break;
	}
	return 1;
}

static enum run_result
wait_for(struct console_client *cc, enum wait_kind kind, const struct command *command)
{
	struct fail why;

	cc->wait = kind;
	cc->has_wait_database = command->has_name;
	memcpy(cc->wait_database, command->name, sizeof(cc->wait_database));
	cc->wait_tag = command->row->tag;
	if (console_check_wait(cc, &why) == 0)
		return RUN_WAITS;
	cc->wait = WAIT_NONE; /* because there is nothing to wait for */
	return RUN_DONE;
}

/* Returns PgBouncer's reason to refuse a command, or NULL. Scripts that were written for PgBouncer rely on these
 * refusals. Without compat = pgbouncer, repeating a command is no error. */
static const char *
get_pgbouncer_refusal(const struct console_client *cc, const struct command *command)
{
	const struct client_env *env = env_of(cc);
	bool is_held = pool_set_is_paused(env->x.pools) || env->x.is_suspended;
	const char *database = database_of(command);

	if (!compat_does(env->x.config, COMPAT_REFUSES_REPEATS))
		return NULL;
	if (command->row->id != COMMAND_RESUME)
		return is_held ? "already suspended/paused" : NULL;
	if (database != NULL)
		return is_paused(env->x.pools, database) ? NULL : "database is not paused";
	if (is_held)
		return NULL;
	return cc->console->host.is_shutting_down(cc->console->host.w) ? "pooler is shutting down"
								       : "pooler is not paused/suspended";
}

static int
check_state(struct console_client *cc, const struct command *command, struct fail *why)
{
	const char *refusal = get_pgbouncer_refusal(cc, command);

	if (check_database(cc, command, why) < 0)
		return -1;
	if (command->row->id != COMMAND_RESUME && cc->console->host.check_no_takeover(cc->console->host.w, why) < 0)
		return -1;
	return refusal == NULL ? 0 : fail_set(why, "08P01", "%s", refusal);
}

static enum run_result
run_pause(struct run *r)
{
	if (check_state(r->cc, r->command, r->why) < 0 ||
	    r->host->pause(r->host->w, database_of(r->command), r->why) < 0)
		return RUN_FAILED;
	return wait_for(r->cc, WAIT_QUIET, r->command);
}

static enum run_result
run_resume(struct run *r)
{
	if (check_state(r->cc, r->command, r->why) < 0)
		return RUN_FAILED;
	return r->host->resume(r->host->w, database_of(r->command), r->why);
}

/* Refuses a command; hint is a whole sentence. */
static enum run_result
refuse(struct run *r, const char *hint)
{
	fail_set(r->why, "0A000", "%s is not available in pgweir", r->command->row->phrase);
	fail_pgbouncer_text(r->why, "invalid command '%s', use SHOW HELP;", r->command->row->phrase);
	return fail_hint(r->why, "%s", hint);
}

static enum run_result
run_suspend(struct run *r)
{
	if (compat_does(env_of(r->cc)->x.config, COMPAT_HAS_NO_SUSPEND))
		return refuse(r, "PAUSE waits for what is under way.");
	if (check_state(r->cc, r->command, r->why) < 0 || r->host->suspend(r->host->w, r->why) < 0)
		return RUN_FAILED;
	return wait_for(r->cc, WAIT_FLUSHED, r->command);
}

static enum run_result
run_disable_or_enable(struct run *r)
{
	if (check_database(r->cc, r->command, r->why) < 0 ||
	    (r->command->row->id == COMMAND_DISABLE && r->host->check_no_takeover(r->host->w, r->why) < 0))
		return RUN_FAILED;
	for (struct client_env *const *of = r->host->client_envs; *of != NULL; of++)
		if (pool_set_disable((*of)->x.pools, r->command->name, r->command->row->id == COMMAND_DISABLE) < 0)
			return fail_set(r->why, "53200", "out of memory");
	return RUN_DONE;
}

/* Closes idle servers now, and others when they are returned. */
static void
close_servers(const struct console_client *cc, const struct command *command, enum recycle_reason why)
{
	for (struct client_env *const *of = cc->console->host.client_envs; *of != NULL; of++)
		pool_set_close_all((*of)->x.pools, database_of(command), why, *env_of(cc)->x.now_us);
}

static enum run_result
run_reconnect(struct run *r)
{
	if (check_database(r->cc, r->command, r->why) < 0)
		return RUN_FAILED;
	close_servers(r->cc, r->command, RR_RELOAD);
	return RUN_DONE;
}

static enum run_result
run_wait_close(struct run *r)
{
	if (check_database(r->cc, r->command, r->why) < 0)
		return RUN_FAILED;
	return wait_for(r->cc, WAIT_CLOSED, r->command);
}

/* --- clients --- */

static void
set_kill_reason(struct fail *why, const char *theirs)
{
	fail_set(why, "57P01", "terminating connection due to administrator command");
	fail_pgbouncer_text(why, "%s", theirs);
}

/* Closes a client. The log names the admin whose command did so; the client's error does not. */
static void
end_client(const struct run *r, struct client *c, const struct fail *why)
{
	struct client_about admin;
	struct fail logged;

	client_describe(r->cc->c, &admin);
	fail_set(&logged, why->sqlstate, "%s; %s%s%s by %s", why->text, r->command->row->phrase,
		 r->command->has_name ? " " : "", r->command->name, admin.words);
	fail_pgbouncer_text(&logged, "%s", why->pgbouncer_text);
	client_close_as(&c->x, why, &logged);
}

/* Pauses the database, or all databases, first, so that no server is lent to the next client in the queue while clients
 * are closed one by one. */
static enum run_result
run_kill(struct run *r)
{
	const char *database = database_of(r->command);
	struct client_env *const *client_envs = r->host->client_envs;
	struct client *c;
	struct fail why;

	if (check_state(r->cc, r->command, r->why) < 0 || r->host->pause(r->host->w, database, r->why) < 0)
		return RUN_FAILED;
	/* Closing a client may close others, which stay allocated until the loop's next turn, but are in no list. */
	c = clients_walk(client_envs, NULL);
	set_kill_reason(&why, "database removed");
	while (c != NULL) {
		struct client *next = clients_walk(client_envs, c);

		if (c->x.pool != NULL && (database == NULL || strcmp(c->x.pool->database->name, database) == 0))
			end_client(r, c, &why);
		c = next != NULL && next->x.is_closing ? clients_walk(client_envs, NULL) : next;
	}
	close_servers(r->cc, r->command, RR_KILL);
	return RUN_DONE;
}

static enum run_result
run_kill_client(struct run *r)
{
	struct client *c = clients_find(r->host->client_envs, r->command->client_id);
	struct fail reason;

	if (c == NULL) {
		fail_set(r->why, "42704", "there is no client %llu", (unsigned long long)r->command->client_id);
		fail_pgbouncer_text(r->why, "client not found");
		return fail_hint(r->why, "SHOW CLIENTS has the ids, in its column id.");
	}
	if (c == r->cc->c) {
		r->cc->ending = ENDING_SELF;
	} else {
		set_kill_reason(&reason, "admin forced disconnect");
		end_client(r, c, &reason);
	}
	return RUN_DONE;
}

/* --- the process --- */

static enum run_result
run_reload(struct run *r)
{
	if (r->host->reload(r->host->w, r->why) == 0) {
		const struct console_host *host = r->host;
		const char *change;
		size_t count = 0;

		/* The changes are sent as notices, so the answer stays the same for programs. */
		while (count < CHANGES_SHOWN_MAX && (change = host->config_change(host->w, count)) != NULL) {
			message_notice_text(&r->cc->out, change);
			count++;
		}
		if (count == 0)
			message_notice_text(&r->cc->out,
					    "no setting has changed; the files that settings name were read again");
		else if (host->config_change(host->w, count) != NULL)
			message_notice_text(&r->cc->out, "there are more changes; the log has all of them");
		return RUN_DONE;
	}
	return fail_pgbouncer_text(r->why, "RELOAD failed, see logs for additional details");
}

static enum run_result
run_reopen(struct run *r)
{
	r->host->reopen(r->host->w);
	return RUN_DONE;
}

static enum run_result
run_shutdown(struct run *r)
{
	r->cc->ending = ENDING_SHUTDOWN;
	r->cc->shutdown_how = r->command->row->id == COMMAND_SHUTDOWN		? SHUTDOWN_NOW
			      : r->command->row->id == COMMAND_SHUTDOWN_SERVERS ? SHUTDOWN_WAIT_FOR_SERVERS
										: SHUTDOWN_WAIT_FOR_CLIENTS;
	return RUN_DONE;
}

static enum run_result
run_restart(struct run *r)
{
	return r->host->restart(r->host->w, r->why);
}

static enum run_result
run_reset_queries(struct run *r)
{
	query_table_reset(r->host->queries);
	return RUN_DONE;
}

static enum run_result
run_nothing(struct run *r)
{
	return RUN_DONE;
}

/* --- commands that are not offered, and SET --- */

static enum run_result
run_refused(struct run *r)
{
	return refuse(r, r->command->row->what);
}

static enum run_result
run_set_configuration(struct run *r)
{
	struct fail notice;

	if (r->host->set(r->host->w, r->command->name, r->command->has_text ? r->command->text : NULL, &notice,
			 r->why) < 0)
		return fail_pgbouncer_text(r->why, "SET failed");
	if (notice.text[0] != '\0')
		message_notice(&r->cc->out, "NOTICE", &notice);
	return RUN_DONE;
}

/* --- transactions: drivers begin and end transactions by themselves, and read the answers --- */

static void
put_warning(struct console_client *cc, const char *sqlstate, const char *text)
{
	struct fail what;

	fail_set(&what, sqlstate, "%s", text);
	message_notice(&cc->out, "WARNING", &what);
}

static enum run_result
run_begin(struct run *r)
{
	if (r->cc->tx != 'I')
		put_warning(r->cc, "25001", "there is already a transaction in progress");
	r->cc->tx = 'T';
	return RUN_DONE;
}

static enum run_result
run_end(struct run *r)
{
	if (r->cc->tx == 'I')
		put_warning(r->cc, "25P01", "there is no transaction in progress");
	if (r->cc->tx == 'E')
		r->tag = "ROLLBACK";
	r->cc->tx = 'I';
	return RUN_DONE;
}

#define RUN_OF(id, run) [COMMAND_##id] = (run),
static enum run_result (*const runs[COMMAND_COUNT])(struct run *r) = { RUN_LIST(RUN_OF) };
_Static_assert(COMMAND_KILL_CLIENT - COMMAND_PAUSE == 8, "only those from PAUSE to KILL_CLIENT look at all workers");

enum run_result
console_run(struct run *r)
{
	enum command_id id = r->command->row->id;
	/* These commands read or change the clients and pools of all workers, so the other workers must be halted.
	 * RELOAD and SET halt the workers themselves. */
	bool needs_halt = id >= COMMAND_PAUSE && id <= COMMAND_KILL_CLIENT;
	enum run_result result;

	if (check_permission(r->cc, r->command->row, r->why) < 0)
		return RUN_FAILED;
	env_of(r->cc)->x.counters->console_commands++;
	if (needs_halt && r->host->halt(r->host->w, r->why) < 0)
		return RUN_FAILED;
	result = runs[id](r);
	if (needs_halt)
		r->host->leave_halt(r->host->w);
	if (r->command->row->needs_admin)
		log_info(env_of(r->cc)->x.log, "console: %s%s%s by user \"%s\"%s%s", r->command->row->phrase,
			 r->command->has_name ? " " : "", r->command->name, exchange_user(&r->cc->c->x),
			 result == RUN_FAILED ? " was refused: " : "", result == RUN_FAILED ? r->why->text : "");
	return result;
}
