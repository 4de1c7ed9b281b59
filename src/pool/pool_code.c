/* src/pool/pool_code.c - asks servers which state their database's code could touch (database_code.h), and acts on the
 * answers. */
#include "pool/pool_set_state.h"

#include <inttypes.h>
#include <string.h>

#define BLAMED_EVERY_US (3600 * US_PER_S) /* between two lines of the log, if fewer than BLAMED_MANY are closed */
#define BLAMED_MANY 100u /* with so many, the next line comes after a minute */

const char *
pool_code_begin_question(struct server *srv)
{
	const struct pool *pool = srv->owner;
	struct pooled *p = pooled_of(srv->conn);
	const char *question = database_code_begin_question(p->code, pool_set_now(pool->set));

	p->code_question_number = p->code->question_number;
	return question;
}

enum code_decision
pool_code_decide(const struct server *srv, unsigned parts, uint64_t last_keeping_ddl)
{
	const struct pool *pool = srv->owner;
	bool is_free = !srv->loan.has_run || (parts & STATE_BACKEND) != 0;

	return pool->main != NULL || !pool->is_sealed || pool->code != pooled_of(srv->conn)->code ||
		       srv->role == SERVER_CONSOLE
		   ? CODE_GO
		   : database_code_decide(pool->code, last_keeping_ddl, is_free, pool_set_now(pool->set));
}

static void
hold(struct server_reset *reset, uint64_t now_us)
{
	if (reset->held_since_us != 0)
		return;
	reset->held_since_us = now_us;
	/* twice, because the answer that is on its way may be outdated, so another answer may be needed */
	reset->deadline_us = now_us + 2 * CODE_ANSWER_US;
}

bool
pool_code_hold_if_due(struct server *srv, const char **question)
{
	struct pooled *p = pooled_of(srv->conn);
	enum code_decision decision;

	if (srv->reset.held_since_us == 0)
		p->last_keeping_ddl = p->code->last_keeping_ddl;
	decision = pool_code_decide(srv, srv->reset.todo.parts, p->last_keeping_ddl);
	if (decision == CODE_ASK)
		*question = pool_code_begin_question(srv);
	if (decision != CODE_GO)
		hold(&srv->reset, *srv->env->now_us);
	else if (srv->reset.held_since_us != 0 && !database_code_has_answer_after(p->code, p->last_keeping_ddl))
		srv->reset.todo.parts |= STATE_BACKEND; /* no answer has come, so the effects of the SQL are unknown */
	return decision != CODE_GO;
}

bool
pool_code_may_end_hold(const struct server *srv)
{
	return srv->state == SV_RESET && srv->reset.step == RESET_STEP_HELD && srv->ledger.count == 0 &&
	       pool_code_decide(srv, srv->reset.todo.parts, pooled_of(srv->conn)->last_keeping_ddl) != CODE_WAIT;
}

/* --- the answer --- */

static bool
is_asked_about_code(const struct server *srv)
{
	const struct pooled *p = pooled_of(srv->conn);

	return p->code_question_number != 0 && p->code_question_number == p->code->question_number;
}

void
pool_code_take_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole)
{
	if (is_asked_about_code(srv))
		database_code_take_row(pooled_of(srv->conn)->code, body, len, is_whole);
}

/* Makes the set look at once at servers that are held. */
static void
wake_held(struct pool *pool)
{
	pool->set->looked_us = 0;
	pool_schedule_tick(pool, pool_set_now(pool->set));
}

void
pool_code_note_server_gone(struct server *srv)
{
	if (!is_asked_about_code(srv))
		return;
	pooled_of(srv->conn)->code_question_number = 0;
	database_code_drop_incoming(pooled_of(srv->conn)->code);
	wake_held(srv->owner);
}

static void
count_risky_name(const char *name, enum risk_name_kind kind, struct risk risk, const char *reason, void *arg)
{
	unsigned *count = arg;

	*count += ((risk.always | risk.in_writes) & (STATE_WASHABLE | STATE_BACKEND)) != 0;
}

static void
log_code(const struct pool *pool, unsigned known_before)
{
	const struct risk_names *risks = pool->code->answer->risks;
	unsigned count = 0;
	char parts[SEAL_STATE_TEXT_MAX];

	risk_names_each(risks, count_risky_name, &count);
	if ((risk_of_opaque_sql(risks) & (STATE_WASHABLE | STATE_BACKEND)) == 0)
		log_info(pool->set->log, "database %s: none of its functions can change session state; nothing to wash",
			 pool->database->name);
	else
		log_info(pool->set->log,
			 "database %s: %s code that could change session state (%s), which is "
			 "washed off after SQL with these; see SHOW DATABASE_CODE",
			 pool->database->name,
			 base_format_count(count, "of its names reaches", "of its names reach").text,
			 seal_state_text(risk_of_opaque_sql(risks), parts));
	if (risk_of_opaque_sql(risks) & ~known_before & STATE_BACKEND)
		log_warning(pool->set->log,
			    "database %s: some of its code keeps state in the backend that nothing resets: a server "
			    "connection that ran it is closed after use; see SHOW DATABASE_CODE",
			    pool->database->name);
}

static void
log_missing(const char *name, enum risk_name_kind kind, struct risk risk, const char *reason, void *arg)
{
	const struct pool *pool = arg;

	if (kind == RISK_DECLARED_HARMLESS && strcmp(reason, "harmless_code") != 0)
		log_warning(pool->set->log, "database %s: harmless_code has %s, which is not there",
			    pool->database->name, name);
}

const struct code_blame *
pool_code_most_blamed(const struct database_code *code)
{
	const struct code_blame *most = &code->blamed[0];

	for (unsigned i = 1; i < CODE_BLAMED_MAX; i++)
		if (code->blamed[i].closes > most->closes)
			most = &code->blamed[i];
	return most;
}

void
pool_code_blame(struct server *srv, struct database_code *code)
{
	const struct pool *pool = srv->owner;
	uint64_t now_us = *srv->env->now_us;
	const char *why = code->answer == NULL ? NULL
					       : risk_names_blame(code->answer->risks, STATE_BACKEND,
								  (const char *)srv->loan.text, srv->loan.text_len);
	struct code_blame *b = code->blamed;
	const struct code_blame *most;

	srv->loan.blame = why == NULL ? BLAME_OTHERS : BLAME_CODE;
	if (why == NULL)
		return;
	if (code->closes++ == 0)
		memset(code->blamed, 0, sizeof(code->blamed));
	while (b < &code->blamed[CODE_BLAMED_MAX - 1] && b->closes > 0 && strncmp(b->why, why, sizeof(b->why) - 1) != 0)
		b++;
	snprintf(b->why, sizeof(b->why), "%s", b == &code->blamed[CODE_BLAMED_MAX - 1] ? "other code" : why);
	b->closes++;
	if (code->blame_logged_us != 0 &&
	    now_us - code->blame_logged_us < (code->closes < BLAMED_MANY ? BLAMED_EVERY_US : 60 * US_PER_S))
		return;
	most = pool_code_most_blamed(code);
	log_warning(
	    pool->set->log,
	    "database %s: %s since this was last told, as code may leave something there, %" PRIu32
	    " for %s; if it leaves nothing behind, declare it in harmless_code",
	    pool->database->name,
	    base_format_count(code->closes, "server connection is closed", "server connections were closed").text,
	    most->closes, most->why);
	code->blame_logged_us = now_us;
	code->closes = 0;
}

unsigned
pool_code_known_leftovers(const struct pool *pool)
{
	if (pool->code->answer == NULL)
		return RISK_CONTEXT; /* this is assumed before the first answer */
	return risk_of_opaque_sql(pool->code->answer->risks) & (STATE_BACKEND | RISK_CONTEXT);
}

bool
pool_code_admit(struct pool *pool, unsigned known_leftovers)
{
	unsigned more = pool->is_sealed ? pool_code_known_leftovers(pool) & ~known_leftovers : 0;

	if (pool->code->answer != NULL)
		return more == 0;
	pool->code->unknown_elsewhere |= more;
	return true;
}

/* Renews the prepared statements of pools with this code if the code is outdated, or its version differs from `before`:
 * objects were created or changed, so PostgreSQL may parse the same SQL differently. Does nothing if before is "". */
static void
renew_statements(const struct pool_set *set, const struct database_code *code, const char *before)
{
	bool is_same = *before == '\0' || (!code->is_outdated && strcmp(before, code->answer->version) == 0);

	for (struct pool *e = is_same ? NULL : set->first; e != NULL; e = e->next)
		if (e->code == code)
			statement_home_renew(e->home);
}

const char *
pool_code_answered(struct server *srv, bool ok)
{
	struct pool *pool = srv->owner;
	struct database_code *code = pool->code;
	unsigned before = pool_code_known_leftovers(pool) & ~code->unknown_elsewhere;
	struct pooled *p = pooled_of(srv->conn);
	bool is_first = code->answer == NULL;
	char version[CODE_VERSION_MAX];
	bool is_read;

	snprintf(version, sizeof(version), "%s", is_first ? "" : code->answer->version);
	/* A statement_timeout that PostgreSQL reports right after a late answer would hit the next borrower. */
	p->is_code_late = pool_set_now(pool->set) - p->code->asked_us >= CODE_ANSWER_US;
	if (!ok)
		log_warning(
		    pool->set->log,
		    "database %s: PostgreSQL did not report what its code could touch; all session state is washed off "
		    "each server connection that comes back",
		    pool->database->name);
	if (!is_asked_about_code(srv) || code != p->code) {
		pool_code_note_server_gone(srv);
		return NULL;
	}
	p->code_question_number = 0;
	wake_held(pool);
	is_read = database_code_end_answer(code, ok, ++pool->set->last_code_number, pool_set_now(pool->set));
	renew_statements(pool->set, code, version);
	if (!is_read) {
		if (ok && code->refused_until_us == 0 && !code->is_outdated)
			pool_defaults_on_answer(srv, false);
		if (!ok || p->is_code_late || srv->fitness != SERVER_FIT || !database_code_needs_full_read(code))
			return NULL;
		srv->conn->ping_more_us += CODE_ANSWER_US;
		srv->reset.deadline_us += CODE_ANSWER_US;
		return pool_code_begin_question(srv);
	}
	pool->code->unknown_elsewhere = 0;
	log_code(pool, before);
	if (is_first)
		risk_names_each(code->answer->risks, log_missing, pool);
	for (struct pool *e = pool->set->first; e != NULL; e = e->next) {
		if (e->code != code)
			continue;
		if (e->cluster != NULL)
			standby_pools_note_new_code(e);
		/* Servers may have run code before that code was known to leave state that nothing resets. */
		if ((pool_code_known_leftovers(pool) & ~before) != 0 && e->is_sealed)
			policy_close_all(e->policy, RR_DIRTY, pool_set_now(e->set));
		if (code->kind == DATABASE_TEMPLATE)
			pool_renew_policy(e, pool_set_now(e->set));
	}
	pool_defaults_on_answer(srv, true);
	return NULL;
}

bool
pool_has_sequences(const struct pool *pool, uint64_t now_us)
{
	return database_code_has_sequences(pool->code, now_us);
}

/* Notes the change in all structs database_code whose database has this name in PostgreSQL, because one database may be
 * configured under several names, and be used by other workers, too. */
void
pool_code_note_ddl(struct pool *pool, unsigned risk)
{
	struct database_code *code = pool->code;

	/* this code is of several databases, so code_registry_note_ddl() may miss it */
	if (strcmp(code->database, pool->target->database) != 0)
		database_code_note_ddl(code, risk);
	code_registry_note_ddl(pool->set->s.code_registry, pool->target->database, risk);
}

void
pool_set_databases_changed(struct pool_set *set)
{
	code_registry_note_ddl(set->s.code_registry, NULL, RISK_KEEPS);
}
