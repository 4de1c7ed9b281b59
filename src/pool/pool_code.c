/*
 * src/pool/pool_code.c - asks a pool's servers what the code of its database could touch (database_code.h), and acts on
 * the answer.
 */
#include "pool/pool_set_state.h"

#include "session/seal.h"

#include <string.h>

const char *
pool_code_ask(struct pool_entry *entry, struct server *srv)
{
	struct database_code *code = &entry->database->code;
	const char *question = database_code_ask(code, pool_set_now(entry->set));

	pooled_of(srv->conn)->code_round = code->round;
	return question;
}

static bool
is_asked_about_code(const struct server *srv)
{
	const struct pool_entry *entry = srv->owner;

	return pooled_of(srv->conn)->code_round == entry->database->code.round;
}

bool
pool_code_is_lasting(const struct pool_entry *entry)
{
	const struct code_answer *answer = entry->database->code.answer;

	return pool_entry_is_sealed(entry) && answer != NULL && (answer->parts & STATE_BACKEND) != 0;
}

void
pool_code_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole)
{
	struct pool_entry *entry = srv->owner;

	if (is_asked_about_code(srv))
		database_code_row(&entry->database->code, body, len, is_whole);
}

static void
log_code(const struct pool_entry *entry)
{
	const struct code_answer *answer = entry->database->code.answer;
	char parts[STATE_TEXT_MAX];

	if (answer->parts & STATE_BACKEND)
		log_warning(
		    entry->set->log,
		    "database %s: its code keeps state in the backend that nothing resets: each server connection "
		    "is closed after use; see SHOW DATABASE_CODE",
		    entry->database->name);
	else
		log_info(entry->set->log, "database %s: its code could touch this session state: %s",
			 entry->database->name, state_text(answer->parts, parts));
	if ((answer->parts & STATE_TYPES) != 0 && (answer->parts & STATE_PATHS) != 0)
		log_warning(
		    entry->set->log,
		    "database %s: functions declare types that depend on search_path, which code could change: each "
		    "server connection is closed before another client gets it; see SHOW DATABASE_CODE",
		    entry->database->name);
}

/* There was an answer before, and it found less for which a server must not be lent to everybody. */
static bool
finds_more_compiled(const struct pool_entry *entry, unsigned before)
{
	return (database_code_compiled(&entry->database->code) & ~before) != 0;
}

/*
 * Closes this database's servers that ran its code before it was known to leave what nothing resets. It walks over all
 * pools, but only when the answer about a database's code differs from the last one.
 */
static void
close_those_used(const struct pool_entry *entry, unsigned compiled_before)
{
	bool is_compiled = finds_more_compiled(entry, compiled_before);

	for (struct pool_entry *e = entry->set->first; e != NULL; e = e->next)
		if (e->database == entry->database && pool_entry_is_sealed(e) &&
		    (is_compiled || pool_code_is_lasting(e)))
			pool_close_all(e->policy, RR_DIRTY, pool_set_now(e->set));
}

void
pool_code_answered(struct server *srv, bool ok)
{
	struct pool_entry *entry = srv->owner;
	const struct code_answer *before = entry->database->code.answer;
	unsigned compiled_before = before == NULL ? STATE_COMPILED : before->parts & STATE_COMPILED;

	if (!ok)
		log_warning(
		    entry->set->log,
		    "database %s: PostgreSQL did not report what its code could touch; all session state is washed off "
		    "each server connection that comes back",
		    entry->database->name);
	if (is_asked_about_code(srv) && database_code_answered(&entry->database->code, ok, pool_set_now(entry->set))) {
		log_code(entry);
		close_those_used(entry, compiled_before);
	}
}

unsigned
pool_entry_code_parts(const struct pool_entry *entry, uint64_t now_us)
{
	return database_code_parts(&entry->database->code, now_us);
}

bool
pool_entry_has_sequences(const struct pool_entry *entry, uint64_t now_us)
{
	return database_code_has_sequences(&entry->database->code, now_us);
}

bool
pool_entry_suits(const struct server *srv, const struct pool_ticket *t)
{
	struct pool_ticket that = { .image = t->image, .id = t->id };

	return pool_code_suits(srv->owner, srv, &that);
}

/* Kept up by state/compiled.c. */
bool
pool_code_suits(const struct pool_entry *entry, const struct server *srv, const struct pool_ticket *t)
{
	const struct server_compiled *c = &srv->compiled;
	unsigned parts = pool_entry_compiled(entry);

	if ((parts & STATE_TYPES) == 0 || c->of == 0 || c->of == t->id || t->is_harmless || t->image == NULL ||
	    !pool_entry_is_sealed(entry))
		return true; /* a login runs no function */
	return !c->is_mixed && c->image != NULL && image_compiles_as(c->image, t->image);
}

/*
 * The same database may be configured under several names. Each DDL statement walks all pools: some µs for a hundred.
 */
void
pool_entry_code_changed(struct pool_entry *entry, bool is_made)
{
	for (struct pool_entry *e = entry->set->first; e != NULL; e = e->next)
		if (e->database != entry->database && strcmp(e->target->database, entry->target->database) == 0)
			database_code_changed(&e->database->code, is_made);
	database_code_changed(&entry->database->code, is_made);
}

void
pool_set_databases_changed(struct pool_set *set)
{
	for (struct pool_entry *e = set->first; e != NULL; e = e->next)
		database_code_changed(&e->database->code, true);
}
