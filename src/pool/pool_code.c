/* src/pool/pool_code.c - asks servers what their database's code could touch (database_code.h), and acts on that. */
#include "pool/pool_set_state.h"

#include <string.h>

const char *
pool_code_ask(struct pool *pool, struct server *srv)
{
	struct database_code *code = pool->code;
	const char *question = database_code_ask(code, pool_set_now(pool->set));

	pooled_of(srv->conn)->code_round = code->round;
	pooled_of(srv->conn)->code_asked_us = pool_set_now(pool->set);
	return question;
}

static bool
is_asked_about_code(const struct server *srv)
{
	const struct pool *pool = srv->owner;

	return pool->code == pooled_of(srv->conn)->code && pooled_of(srv->conn)->code_round == pool->code->round;
}

/* --- the answer --- */

void
pool_code_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole)
{
	struct pool *pool = srv->owner;

	if (is_asked_about_code(srv))
		database_code_row(pool->code, body, len, is_whole);
}

static void
count_name(const char *name, enum risk_kind kind, struct risk risk, const char *reason, void *arg)
{
	unsigned *count = arg;

	(void)name;
	(void)kind;
	(void)reason;
	*count += ((risk.always | risk.in_writes) & (STATE_WASHABLE | STATE_BACKEND)) != 0;
}

static void
log_code(const struct pool *pool, unsigned before)
{
	const struct risk_names *risks = pool->code->answer->risks;
	unsigned count = 0;
	char parts[SEAL_STATE_TEXT_MAX];

	risk_names_each(risks, count_name, &count);
	if ((risk_names_all(risks) & (STATE_WASHABLE | STATE_BACKEND)) == 0)
		log_info(pool->set->log, "database %s: none of its functions can change session state; nothing to wash",
			 pool->database->name);
	else
		log_info(pool->set->log,
			 "database %s: %s code that could change session state (%s), which is "
			 "washed off after SQL with these; see SHOW DATABASE_CODE",
			 pool->database->name, counted(count, "of its names reaches", "of its names reach").text,
			 seal_state_text(risk_names_all(risks), parts));
	if (risk_names_all(risks) & ~before & STATE_BACKEND)
		log_warning(pool->set->log,
			    "database %s: some of its code keeps state in the backend that nothing resets: a server "
			    "connection that ran it is closed after use; see SHOW DATABASE_CODE",
			    pool->database->name);
}

/* For these a server that was lent before they were known must not be lent again. */
unsigned
pool_code_heeded(const struct pool *pool)
{
	if (pool->code->answer == NULL)
		return RISK_CONTEXT; /* as was feared */
	return risk_names_all(pool->code->answer->risks) & (STATE_BACKEND | RISK_CONTEXT);
}

bool
pool_code_welcomes(struct pool *pool, unsigned heeded)
{
	unsigned more = pool_is_sealed(pool) ? pool_code_heeded(pool) & ~heeded : 0;

	if (pool->code->answer != NULL)
		return more == 0;
	pool->code->unheeded |= more;
	return true;
}

/* Another question of the same ping or reset. */
static const char *
ask_more(struct pool *pool, struct server *srv)
{
	srv->conn->ping_more_us += CODE_ANSWER_US;
	srv->reset.deadline_us += CODE_ANSWER_US;
	return pool_code_ask(pool, srv);
}

const char *
pool_code_answered(struct server *srv, bool ok)
{
	struct pool *pool = srv->owner;
	struct database_code *code = pool->code;
	unsigned before = pool_code_heeded(pool) & ~code->unheeded;
	struct pooled *p = pooled_of(srv->conn);
	bool may_ask; /* no answer of this server's is still to come, and it will be lent again */

	/* PostgreSQL may notice its statement_timeout behind the answer: the error would be the next borrower's. */
	p->is_code_late = pool_set_now(pool->set) - p->code_asked_us >= CODE_ANSWER_US;
	if (!ok)
		log_warning(
		    pool->set->log,
		    "database %s: PostgreSQL did not report what its code could touch; all session state is washed off "
		    "each server connection that comes back",
		    pool->database->name);
	may_ask = ok && !p->is_code_late && srv->fitness == SERVER_FIT && code == p->code;
	/* Another round has begun, so what this server has run is not known yet. */
	if (!is_asked_about_code(srv))
		return may_ask && srv->state == SV_RESET && database_code_is_overdue(code, pool_set_now(pool->set))
			   ? ask_more(pool, srv)
			   : NULL;
	if (!database_code_answered(code, ok, ++pool->set->last_code_number, pool_set_now(pool->set)))
		return may_ask && database_code_is_unread(code) ? ask_more(pool, srv) : NULL;
	pool->code->unheeded = 0;
	log_code(pool, before);
	for (struct pool *e = pool->set->first; e != NULL; e = e->next) {
		if (e->code != code)
			continue;
		if (e->cluster != NULL)
			pool_standby_code_is_new(e);
		/* Servers may have run code before that was known to leave what nothing resets. */
		if ((pool_code_heeded(pool) & ~before) != 0 && pool_is_sealed(e))
			policy_close_all(e->policy, RR_DIRTY, pool_set_now(e->set));
	}
	return NULL;
}

bool
pool_has_sequences(const struct pool *pool, uint64_t now_us)
{
	return database_code_has_sequences(pool->code, now_us);
}

/* The same database may be configured under several names, and be another worker's, too. */
void
pool_code_changed(struct pool *pool, bool is_made)
{
	struct database_code *code = pool->code;

	if (strcmp(code->database, pool->target->database) != 0) /* it is several */
		database_code_changed(code, is_made);
	code_news_changed(pool->set->s.news, pool->target->database, is_made);
}

void
pool_set_databases_changed(struct pool_set *set)
{
	code_news_changed(set->s.news, NULL, true);
}
