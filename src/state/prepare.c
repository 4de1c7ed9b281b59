/*
 * src/state/prepare.c - statements made by SQL PREPARE, on servers that do not have them; see state/state_state.h.
 *
 * They are prepared when SQL that may use them is about to run: SQL that names one of them, or reads
 * pg_prepared_statements. So if one can't be prepared any more (its table is gone), the error is that of this SQL, as
 * it would be on a connection of the client's own, and nothing happens before. Other clients' statements are
 * deallocated when the server is lent (image_put_deallocates).
 *
 * At the beginning of a request, the PREPARE is sent ahead as a request of its own; its error is kept, and sent in
 * place of the error that it causes in the client's request. In a transaction it has a savepoint of its own. Within a
 * pipeline of the extended protocol an error skips the messages that follow, as it should; but a Query would be lost
 * with its ReadyForQuery, so it waits (request_goes_behind).
 */
#include "state/prepare.h"
#include "state/state_state.h"
#include "state/state.h"
#include "state/context.h"
#include "base/text.h"
#include "session/image_changes.h"
#include "session/reading.h"
#include "wire/messages.h"
#include "server/server_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prepares a dummy under that name, which never fails: for SQL to which only the name matters. */
static void
put_placeholder(struct buf *b, const char *name)
{
	buf_printf(b, "PREPARE ");
	image_put_identifier(b, name, false);
	buf_put_str(b, " AS SELECT");
}

bool
state_is_placeholder(const char *name, const char *text)
{
	struct buf b = { 0 };
	bool is_it;

	put_placeholder(&b, name);
	is_it = buf_ok(&b) && strcmp((const char *)b.bytes, text) == 0;
	buf_fini(&b);
	return is_it;
}

/* Where a PREPARE is sent: a savepoint does not take back one, but the failure of one. */
enum prepare_place { WITHIN_REQUEST, AHEAD_OF_REQUEST, AHEAD_WITH_SAVEPOINT };

/* The portal of a PREPARE that has failed is still there. */
static void
take_back(struct exchange *x, struct buf *b)
{
	message_named(b, 'C', "P", statement_store_prefix(x->env->statements), NULL, 0);
	ledger_push(&x->srv->ledger, OWED_CLOSE, OWED_TO_FEATURE, NULL);
	state_run(x, b, "ROLLBACK TO SAVEPOINT " STATE_SAVEPOINT, OWED_TO_FEATURE, NULL);
	state_run(x, b, "RELEASE SAVEPOINT " STATE_SAVEPOINT, OWED_TO_FEATURE, NULL);
	message_sync(b);
	server_owe_sync(x->srv, OWED_TO_FEATURE);
}

/* Text of what a server has by a name after its DEALLOCATE has failed: unknown. */
#define NOT_DEALLOCATED ""

/* The ledger's: the name, behind what is to be done with it. */
enum { REF_PREPARE = 'P', REF_DEALLOCATE = 'D' };

static char *
new_ref(char what, const char *name)
{
	size_t len = strlen(name) + 1;
	char *ref = malloc(1 + len);

	if (ref != NULL) {
		ref[0] = what;
		memcpy(ref + 1, name, len);
	}
	return ref;
}

void
state_read_under(struct exchange *x, struct buf *b, const struct image *reading, enum owed_to to)
{
	struct ledger *l = &x->srv->ledger;
	char name[STATEMENT_NAME_MAX];

	statement_special_name(x->env->statements, STATEMENT_PLACEHOLDER, name);
	reading_put(b, name, reading);
	ledger_push(l, OWED_CLOSE, to, NULL);
	ledger_push_run(l, to, NULL);
	ledger_push(l, OWED_CLOSE, to, NULL);
}

void
state_close_placeholder(struct exchange *x, struct buf *b)
{
	char name[STATEMENT_NAME_MAX];

	statement_special_name(x->env->statements, STATEMENT_PLACEHOLDER, name);
	message_close_statement(b, name);
	ledger_push(&x->srv->ledger, OWED_CLOSE, OWED_TO_FEATURE, NULL);
}

/* Sends the PREPARE, which PostgreSQL reads as when the client sent it. Takes ref. */
static void
run_as_read(struct exchange *x, struct buf *b, const struct image_setting *e, enum owed_to to, char *ref)
{
	struct image *reading = e->reading == NULL ? NULL : reading_image(x->env->images, e->reading);
	bool is_other = reading != NULL && !state_reads_as(x, reading);
	enum owed_to reading_to = to == OWED_TO_PREPARE ? OWED_TO_FEATURE : to;

	if (e->reading != NULL && reading == NULL)
		b->is_broken = true;
	if (is_other)
		state_read_under(x, b, reading, reading_to);
	state_run(x, b, e->value, to, ref);
	if (is_other)
		state_read_under(x, b, NULL, reading_to);
	image_unref(reading);
}

static int
prepare_now(struct exchange *x, const struct image_setting *e, enum prepare_place place)
{
	struct server *srv = x->srv;
	const char *name = e->name;
	bool is_alone = place != WITHIN_REQUEST, is_saved = place == AHEAD_WITH_SAVEPOINT;
	enum owed_to to = is_alone ? OWED_TO_PREPARE : OWED_TO_STATEMENT;
	struct buf b = { 0 }, drop = { 0 };
	bool is_taken = image_get_prepared(srv->image, name) != NULL; /* by a dummy of pgweir's */
	char *ref = new_ref(REF_PREPARE, name), *drop_ref = is_taken ? new_ref(REF_DEALLOCATE, name) : NULL;

	if (ref == NULL || (is_taken && drop_ref == NULL)) {
		free(ref);
		free(drop_ref);
		return -1;
	}
	if (is_saved)
		state_run(x, &b, "SAVEPOINT " STATE_SAVEPOINT, OWED_TO_FEATURE, NULL);
	if (is_taken) {
		buf_printf(&drop, MESSAGE_OURS "DEALLOCATE ");
		image_put_identifier(&drop, name, false);
		buf_put_u8(&drop, 0);
		state_run_built(x, &b, &drop, to, drop_ref);
	}
	srv->loan.prepares++;
	srv->loan.prepares_here += !is_alone;
	run_as_read(x, &b, e, to, ref);
	if (is_alone) {
		message_sync(&b);
		server_owe_sync(srv, to);
	}
	if (is_saved)
		take_back(x, &b);
	if (is_alone && e->reading != NULL) { /* who looks is to see what is the client's own */
		state_close_placeholder(x, &b);
		message_sync(&b);
		server_owe_sync(srv, OWED_TO_FEATURE);
	}
	outbox_put(&x->env->to_server, &b);
	return image_set(&srv->image, e);
}

/*
 * A function may execute the statement that an argument names, and SQL that comes in pieces (without verdict) any of
 * them; a wrong guess does no harm in a request of its own.
 */
static bool
uses_prepared(const struct sql_verdict *v, bool is_alone)
{
	if (v == NULL)
		return is_alone;
	return (v->flags & (SCAN_EXECUTE | SCAN_PREPARE | (is_alone ? SCAN_CODE | SCAN_FUNCTION : 0u))) != 0;
}

/* Returns true if the SQL is PREPARE or DEALLOCATE of this very name. */
static bool
wants_only_name(const struct exchange *x, struct request *m, const char *name)
{
	const struct known *k;

	if (!request_begins_with(m, WORD_PREPARE) && !request_begins_with(m, WORD_DEALLOCATE))
		return false;
	k = request_only(x, m);
	return (k->kind == KNOWN_PREPARE || k->kind == KNOWN_DEALLOCATE) && strcmp(k->name, name) == 0;
}

/*
 * Returns 0; 1: whether a transaction is open, in which the PREPARE must have a savepoint, is known when what is owed
 * has come; or -1: no memory.
 */
static int
ensure(struct exchange *x, const struct image_setting *e, struct request *m, enum prepare_place place)
{
	const char *there = image_get_prepared(x->srv->image, e->name);
	struct buf b = { 0 };
	int r;

	if (image_has(x->srv->image, e))
		return 0;
	if (place != WITHIN_REQUEST && ledger_may_change_block(&x->srv->ledger))
		return 1;
	if (!wants_only_name(x, m, e->name))
		return prepare_now(x, e, place);
	if (there != NULL)
		return 0;
	put_placeholder(&b, e->name);
	r = buf_ok(&b)
		? prepare_now(x, &(struct image_setting){ e->name, (const char *)b.bytes, IMAGE_PREPARED, NULL }, place)
		: -1;
	buf_fini(&b);
	return r;
}

/* Returns true if nothing may be sent ahead of the next message, or if it would be of no use. */
static bool
is_no_time(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return !exchange_is_followed(x) || srv->tx == 'E' || srv->ledger.is_skipping || srv->ledger.is_copy_open;
}

/* The transaction has failed, but its end may be on its way: the reply will tell whether this is the time. */
static bool
may_end_first(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return exchange_is_followed(x) && srv->tx == 'E' && srv->ledger.count > 0 && !srv->ledger.is_skipping &&
	       !srv->ledger.is_copy_open;
}

/*
 * A DEALLOCATE is on its way, or a PREPARE: what the image has may be gone when the next message is handled, or be
 * another statement of that name.
 */
static bool
may_be_gone_first(const struct exchange *x)
{
	const struct client_session *s = x->session;
	const struct server *srv = x->srv;

	if (srv->ledger.count == 0 || srv->ledger.is_skipping || srv->ledger.is_copy_open)
		return false;
	if ((srv->loan.suspected & SCAN_PREPARE) != 0)
		return true;
	for (unsigned i = 0; s != NULL && i < s->effect_count; i++)
		if (s->effects[i].kind >= EFFECT_PREPARE)
			return true;
	return false;
}

/*
 * Only replies will tell whether the server has what was to be prepared in a request before this one. And a probe that
 * is under way lists what the server had before: what it lacks would count as deallocated.
 */
static bool
is_unsettled(const struct exchange *x)
{
	return x->srv->loan.prepares > x->srv->loan.prepares_here ||
	       (x->session != NULL && (x->session->parts & STATE_PREPARED) != 0);
}

/* Brings the image up to date with the client's prepared statements: the next message may prepare from it here. */
static enum feature_step
catch_up(struct exchange *x)
{
	int r;

	if (is_unsettled(x))
		return STEP_HOLD;
	if (x->srv->ledger.count > 0 || !x->srv->is_synced)
		return STEP_FORWARD;
	r = state_settle_statements(x);
	return r == 0 ? STEP_FORWARD : r > 0 ? STEP_HOLD : STEP_FAILED;
}

enum feature_step
state_settle_prepared(struct exchange *x)
{
	return image_has_prepared(x->image) ? catch_up(x) : STEP_FORWARD;
}

static enum prepare_place
place_of(const struct exchange *x, bool is_alone)
{
	if (!is_alone)
		return WITHIN_REQUEST;
	return x->srv->tx == 'T' ? AHEAD_WITH_SAVEPOINT : AHEAD_OF_REQUEST;
}

enum feature_step
state_ensure_prepared(struct exchange *x, struct request *m)
{
	const struct sql_verdict *v = m->verdict;
	const char *sql;
	size_t len;
	bool is_all, is_alone = x->srv->is_synced; /* else a Query, too, is a part of the request */
	enum feature_step step;
	enum prepare_place place;
	struct image *img;
	uint32_t before = x->srv->loan.prepares_here;
	int r = 0;

	if (!image_has_prepared(x->image))
		return STEP_FORWARD;
	if (uses_prepared(v, is_alone) && (may_end_first(x) || may_be_gone_first(x)))
		return STEP_HOLD;
	if (is_no_time(x))
		return STEP_FORWARD;
	/* In a request of its own, one that can't be prepared does not make the client's query of the view fail. */
	is_all = is_alone && (v == NULL || (v->hints & SCAN_HINT_STATEMENTS) != 0);
	if (!is_all && !uses_prepared(v, is_alone))
		return STEP_FORWARD;
	step = catch_up(x);
	if (step != STEP_FORWARD)
		return step;
	if (request_awaits_others(x, m))
		return STEP_HOLD;
	place = place_of(x, is_alone);
	img = x->image;
	sql = request_sql(m, &len);
	for (size_t i = image_count(img); i-- > 0 && r == 0 && image_at(img, i)->kind == IMAGE_PREPARED;)
		/* A name that contains a quote is spelt differently in SQL. */
		if (is_all || strchr(image_at(img, i)->name, '"') != NULL ||
		    text_mentions(sql, len, image_at(img, i)->name))
			r = ensure(x, image_at(img, i), m, place);
	if (r == 0 && x->srv->loan.prepares_here > before)
		return request_goes_behind(x, m);
	return r < 0 ? STEP_FAILED : r > 0 ? STEP_HOLD : STEP_FORWARD;
}

enum feature_step
state_ensure_named(struct exchange *x, const char *name)
{
	const struct image_setting *e = image_find(x->image, name, IMAGE_PREPARED);
	enum feature_step step;

	if (e != NULL && (may_end_first(x) || may_be_gone_first(x)))
		return STEP_HOLD;
	if (e == NULL || is_no_time(x))
		return STEP_FORWARD;
	step = catch_up(x);
	e = image_find(x->image, name, IMAGE_PREPARED);
	if (step != STEP_FORWARD || e == NULL || image_has(x->srv->image, e))
		return step;
	return prepare_now(x, e, WITHIN_REQUEST) < 0 ? STEP_FAILED : STEP_FORWARD;
}

void
state_prepare_settled(struct server *srv, const struct owed *o, enum owed_end how)
{
	struct loan *l = &srv->loan;
	const char *name, *there;
	bool is_drop;

	if (o->ref == NULL)
		return;
	name = (const char *)o->ref + 1;
	is_drop = name[-1] == REF_DEALLOCATE;
	there = image_get_prepared(srv->image, name);
	/* A transaction that had failed already, say, has left what was there. */
	if (how != OWED_ANSWERED && (is_drop || (there != NULL && strcmp(there, NOT_DEALLOCATED) != 0)) &&
	    image_update(&srv->image, name, is_drop ? NOT_DEALLOCATED : NULL, IMAGE_PREPARED) < 0)
		srv->is_closing = true;
	if (!is_drop && l->prepares > 0)
		l->prepares--;
	if (l->prepares_here > l->prepares)
		l->prepares_here = l->prepares;
	free(o->ref);
}

void
state_keep_error(struct exchange *x, const char *sqlstate, const uint8_t *message, size_t len)
{
	struct client_session *s = state_own(x);

	/* 25P02 says nothing of the statement: its transaction had failed. */
	if (s == NULL || (sqlstate != NULL && strcmp(sqlstate, "25P02") == 0) ||
	    len != 1 + (size_t)wire_u32(message + 1))
		return;
	s->kept_error.len = 0;
	buf_put(&s->kept_error, message, len);
}

bool
state_tell_kept_error(struct exchange *x, const char *sqlstate)
{
	struct client_session *s = x->session;

	if (s == NULL || s->kept_error.len == 0 || sqlstate == NULL || !buf_ok(&s->kept_error) ||
	    (strcmp(sqlstate, "26000") != 0 && strcmp(sqlstate, "25P02") != 0))
		return false;
	exchange_answer(x, s->kept_error.bytes, s->kept_error.len);
	buf_fini(&s->kept_error);
	return true;
}
