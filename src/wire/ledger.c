/*
 * src/wire/ledger.c - see ledger.h.
 *
 * After an error in a simple Query, PostgreSQL (postgres.c, PostgresMain) sends ReadyForQuery by itself. After an error
 * in any extended message, it ignores everything, even simple Queries, until a Sync. In COPY IN it ignores Sync and
 * Flush until CopyDone or CopyFail. So a Sync between an Execute that turns out to be a COPY and the CopyDone is never
 * answered, unless the COPY fails before PostgreSQL has read that Sync. Only the answer to a later message shows which
 * of these Syncs were ignored.
 */
#include "wire/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct owed *
entry_at(struct ledger *l, uint32_t i)
{
	return &l->ring[(l->head + i) & (l->cap - 1)];
}

/* Removes and returns the head, of any kind. ledger_drop_head() is enough for a head that the server answers. */
static struct owed
drop_head(struct ledger *l)
{
	struct owed o = l->ring[l->head];

	assert(l->count > 0 && l->no_reply_count <= l->count);
	assert(o.kind < OWED_COPY_END || l->no_reply_count > 0);
	l->no_reply_count -= o.kind >= OWED_COPY_END;
	ledger_drop_head(l);
	return o;
}

static void
settle(struct ledger *l, const struct owed *o, enum owed_end how)
{
	if (!owed_ends_request(o) && o->ref != NULL)
		l->ops->settled(l->arg, o, how);
}

void
ledger_init(struct ledger *l, const struct ledger_ops *ops, void *arg)
{
	memset(l, 0, sizeof(*l));
	l->ops = ops;
	l->arg = arg;
}

void
ledger_fini(struct ledger *l)
{
	const struct ledger_ops *ops = l->ops;
	void *arg = l->arg;
	uint64_t body_left = l->body_left;

	while (l->count > 0) {
		struct owed o = drop_head(l);

		settle(l, &o, OWED_SKIPPED);
	}
	free(l->ring);
	ledger_init(l, ops, arg);
	l->body_left = body_left;
}

__attribute__((cold)) static int
ledger_grow(struct ledger *l)
{
	uint32_t cap = l->cap == 0 ? 16 : l->cap * 2;
	struct owed *ring;

	assert(l->count == l->cap && l->room == l->cap && (l->cap & (l->cap - 1)) == 0);
	if (cap > LEDGER_MAX || (ring = calloc(cap, sizeof(*ring))) == NULL)
		return -1;
	for (uint32_t i = 0; i < l->count; i++)
		ring[i] = *entry_at(l, i);
	free(l->ring);
	l->ring = ring;
	l->cap = l->room = cap;
	l->head = 0;
	return 0;
}

void
ledger_advance(struct ledger *l)
{
	while (ledger_local_is_due(l)) {
		struct owed o = drop_head(l);

		if (o.kind == OWED_COPY_END)
			continue;
		if (l->copy == COPY_FAILED)
			/* the server may still owe a ReadyForQuery ahead of the local reply */
			l->trust = LEDGER_IN_DOUBT;
		l->ops->answer_local(l->arg, &o);
		settle(l, &o, OWED_ANSWERED);
	}
}

static void
forget_copy(struct ledger *l)
{
	l->copy = COPY_NONE;
	l->intake = INTAKE_ALL;
	l->copy_syncs = 0;
}

static struct owed
take_head(struct ledger *l)
{
	struct owed o = drop_head(l);

	forget_copy(l);
	return o;
}

static void
settle_head(struct ledger *l)
{
	struct owed o = take_head(l);

	l->answered += o.to == OWED_TO_CLIENT;
	settle(l, &o, OWED_ANSWERED);
}

/* Called when a command of a simple Query ends, or the Query fails. Forgets a COPY, and the entry of its CopyDone. */
static void
end_copy(struct ledger *l)
{
	if (l->copy == COPY_IN && l->count > 1 && entry_at(l, 1)->kind == OWED_COPY_END) {
		assert(l->no_reply_count > 0);
		for (uint32_t i = 1; i + 1 < l->count; i++)
			*entry_at(l, i) = *entry_at(l, i + 1);
		l->count--;
		l->no_reply_count--;
	}
	forget_copy(l);
}

/*
 * Returns true if PostgreSQL will act on this message, although an error or a COPY is open; else settles or counts it.
 */
static bool
admit(struct ledger *l, const struct owed *o)
{
	if (l->intake == INTAKE_SYNC) {
		if (o->kind != OWED_SYNC) {
			if (l->copy == COPY_FAILED && o->kind != OWED_COPY_END)
				l->trust = LEDGER_IN_DOUBT;
			settle(l, o, OWED_SKIPPED); /* the server ignores the message */
			return false;
		}
	} else if (o->kind == OWED_SYNC) {
		l->copy_syncs++; /* the server ignores this Sync, unless the COPY fails first */
		return false;
	}
	l->intake = INTAKE_ALL; /* in a COPY the message is CopyDone, CopyFail, or one that makes the COPY fail */
	return true;
}

void
ledger_enter(struct ledger *l, struct owed o)
{
	assert(l->intake != INTAKE_SYNC || l->count == 0); /* messages that the server ignores are not entered */
	if (ledger_has_ahead(l))
		l->ops->overtaken(l->arg);
	if (l->intake != INTAKE_ALL && !admit(l, &o))
		return;
	if (l->count == l->cap && ledger_grow(l) < 0) {
		l->trust = LEDGER_SHORT;
		settle(l, &o, OWED_SKIPPED);
		return;
	}
	assert(l->count < l->cap);
	*entry_at(l, l->count++) = o;
	l->no_reply_count += o.kind >= OWED_COPY_END;
	if (l->count == 1 && (o.kind != OWED_LOCAL_PARSE || o.phase == 0))
		ledger_advance(l);
}

void
ledger_begin_ahead(struct ledger *l)
{
	assert(l->count > 0 && l->intake == INTAKE_ALL && l->trust == LEDGER_SYNCHRONISED);
	l->room = 0;
}

void
ledger_enter_first(struct ledger *l, struct owed o)
{
	assert(!ledger_has_ahead(l) && o.kind < OWED_COPY_END);
	if (l->count == l->cap && ledger_grow(l) < 0) {
		l->trust = LEDGER_SHORT;
		return;
	}
	l->head = (l->head - 1) & (l->cap - 1);
	l->count++;
	*entry_at(l, 0) = o;
}

void
ledger_push_run(struct ledger *l, enum owed_to to, void *ref)
{
	ledger_push(l, OWED_PARSE, to, NULL);
	ledger_push(l, OWED_BIND, to, NULL);
	ledger_push(l, OWED_EXECUTE, to, ref);
}

/* Called when the head turns out to be a COPY IN. The server ignores the Syncs that already follow the head, up to
 * CopyDone or CopyFail. No reply is owed for these Syncs, so their entries are removed. */
static void
begin_copy_in(struct ledger *l)
{
	uint32_t keep = 1, i = 1;

	l->copy = COPY_IN;
	l->intake = INTAKE_COPY;
	while (i < l->count && entry_at(l, i)->kind == OWED_SYNC) {
		l->requests_gone += owed_ends_client_request(entry_at(l, i));
		l->copy_syncs++;
		i++;
	}
	if (i < l->count)
		l->intake = INTAKE_ALL;
	while (i < l->count)
		*entry_at(l, keep++) = *entry_at(l, i++);
	l->count = keep;
}

static enum ledger_verdict
verdict_of(const struct owed *o)
{
	return o->to == OWED_TO_CLIENT ? LEDGER_PASS : LEDGER_SWALLOW;
}

static enum ledger_verdict
receive_error(struct ledger *l)
{
	struct owed *o = l->count > 0 ? entry_at(l, 0) : NULL;
	enum ledger_verdict v = o == NULL || owed_to_is_for_client(o->to) ? LEDGER_PASS : LEDGER_SWALLOW;
	uint32_t syncs = l->copy == COPY_IN ? l->copy_syncs : 0;

	if (o == NULL)
		return v; /* a dying backend may report an error at any time */
	if (owed_ends_request(o)) {
		end_copy(l); /* ReadyForQuery follows without a Sync */
		if (syncs > 0)
			/* the Query still gets a ReadyForQuery, before the Syncs within the COPY do */
			o->kind = OWED_SYNC;
	} else {
		enum owed_end how = OWED_FAILED;

		/* An extended message failed, so the server skips everything up to the next Sync. */
		while (l->count > 0 && l->ring[l->head].kind != OWED_SYNC) {
			struct owed gone = take_head(l);

			l->requests_gone += owed_ends_client_request(&gone);
			settle(l, &gone, how);
			if (syncs > 0 && how == OWED_SKIPPED && gone.kind != OWED_COPY_END)
				/* if the server read a Sync within the COPY after the error, it runs the message */
				l->trust = LEDGER_IN_DOUBT;
			how = OWED_SKIPPED;
		}
		l->intake = l->count == 0 ? INTAKE_SYNC : INTAKE_ALL;
	}
	if (syncs > 0) {
		l->copy = COPY_FAILED;
		l->copy_syncs = syncs;
	}
	return v;
}

bool
ledger_owes_client(const struct ledger *l, uint64_t *since_us)
{
	bool is_owing = false;

	*since_us = 0;
	for (uint32_t i = 0; i < l->count && *since_us == 0; i++) {
		const struct owed *o = ledger_at(l, i);

		is_owing = is_owing || owed_to_is_for_client(o->to);
		if (owed_to_is_for_client(o->to) && owed_ends_request(o))
			*since_us = o->started_us;
	}
	return is_owing;
}

void
ledger_note_flush(struct ledger *l)
{
	struct owed *o = l->count > 0 ? entry_at(l, l->count - 1) : NULL;

	if (o != NULL && o->to != OWED_TO_COMMIT && !owed_ends_request(o))
		o->statements = 1;
}

bool
ledger_is_due(const struct ledger *l, bool is_cut)
{
	uint32_t whole = l->count - (is_cut && l->count > 0);

	if (l->copy == COPY_BOTH || (l->copy == COPY_IN && whole < 2))
		return false; /* the server reads on, up to CopyDone, CopyFail, or a message that makes the COPY fail */
	for (uint32_t i = 0; i < whole; i++)
		if (owed_ends_request(ledger_at(l, i)) || ledger_at(l, i)->statements != 0)
			return true;
	return false;
}

bool
ledger_may_change_block(const struct ledger *l)
{
	for (uint32_t i = 0; i < l->count; i++) {
		const struct owed *o = ledger_at(l, i);

		if (o->to == OWED_TO_CLIENT && (o->kind == OWED_EXECUTE || owed_ends_request(o)))
			return true;
	}
	return false;
}

uint32_t
ledger_count_requests_sent(const struct ledger *l)
{
	uint32_t count = l->requests_gone;

	for (uint32_t i = 0; i < l->count; i++)
		count += owed_ends_client_request(ledger_at(l, i));
	return count;
}

bool
ledger_owes_own_request(const struct ledger *l, uint64_t *since_us)
{
	for (uint32_t i = 0; i < l->count; i++) {
		const struct owed *o = ledger_at(l, i);

		if (owed_to_is_for_client(o->to))
			return false;
		*since_us = o->started_us;
		if (owed_ends_request(o))
			return true;
	}
	return false;
}

bool
ledger_owes_nobody(const struct ledger *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (ledger_at(l, i)->to != OWED_TO_NOBODY)
			return false;
	return l->count > 0;
}

bool
ledger_swallow_ready(struct ledger *l)
{
	struct owed *o = l->count == 1 ? &l->ring[l->head] : NULL;

	if (o == NULL || o->kind != OWED_SYNC || o->to != OWED_TO_CLIENT)
		return false;
	o->to = OWED_TO_STATEMENT;
	return true;
}

void
ledger_swallow_types(struct ledger *l)
{
	if (l->count == 0 || l->trust == LEDGER_SHORT)
		return;
	assert(entry_at(l, l->count - 1)->kind == OWED_DESCRIBE_STATEMENT);
	entry_at(l, l->count - 1)->phase = 2;
}

/* Handles a message that is a part of the reply to a Query or Execute, or the end of the reply. */
static enum ledger_verdict
receive_result(struct ledger *l, uint8_t type)
{
	struct owed *o = &l->ring[l->head];
	enum ledger_verdict v = o->kind == OWED_QUERY && o->phase == 1 ? LEDGER_SWALLOW : verdict_of(o);
	bool is_execute = o->kind == OWED_EXECUTE;

	switch (type) {
	case 'T':
		/* A walsender's COPY has ended; CopyDone did not show this, because CopyData may follow CopyDone. */
		if (l->is_replication)
			l->copy = COPY_NONE;
		return is_execute || l->copy != COPY_NONE ? LEDGER_VIOLATION : v;
	case 'D':
		return l->copy != COPY_NONE ? LEDGER_VIOLATION : v;
	case 'I':
	case 'C':
		if (type == 'I' && l->copy != COPY_NONE)
			return LEDGER_VIOLATION;
		if (is_execute)
			settle_head(l);
		else {
			end_copy(l);
			if (o->client_completes_left > 0 && --o->client_completes_left == 0)
				o->phase = 1;
		}
		return v;
	case 's':
		if (!is_execute || l->copy != COPY_NONE)
			return LEDGER_VIOLATION;
		settle_head(l);
		return v;
	case 'G':
		if (l->copy != COPY_NONE)
			return LEDGER_VIOLATION;
		begin_copy_in(l);
		return v;
	case 'H':
		/* BASE_BACKUP sends a CopyOutResponse for each tablespace */
		if (l->copy != COPY_NONE && !l->is_replication)
			return LEDGER_VIOLATION;
		l->copy = COPY_OUT;
		return v;
	case 'W':
		if (l->copy != COPY_NONE || !l->is_replication)
			return LEDGER_VIOLATION;
		l->copy = COPY_BOTH;
		return v;
	case 'd':
	case 'c':
		return l->copy == COPY_OUT || l->copy == COPY_BOTH ? v : LEDGER_VIOLATION;
	default:
		return LEDGER_VIOLATION;
	}
}

static enum ledger_verdict
receive_simple_answer(struct ledger *l, bool is_match)
{
	enum ledger_verdict v;

	if (!is_match)
		return LEDGER_VIOLATION;
	v = verdict_of(ledger_head(l));
	settle_head(l);
	return v;
}

static enum ledger_verdict
receive_ready(struct ledger *l, struct owed *ended, bool *is_end)
{
	const struct owed *o = ledger_head(l);

	if (l->copy == COPY_FAILED && (o == NULL || o->kind != OWED_SYNC)) {
		/* requests_gone counts this Sync already (begin_copy_in()), or never (admit()) */
		*ended = (struct owed){ .kind = OWED_SYNC, .to = OWED_TO_CLIENT };
		assert(l->copy_syncs > 0); /* true while copy is COPY_FAILED */
		l->intake = INTAKE_ALL;
		l->copy = --l->copy_syncs > 0 ? COPY_FAILED : COPY_NONE;
	} else if (o == NULL || !owed_ends_request(o))
		return LEDGER_VIOLATION;
	else {
		*ended = drop_head(l);
		if (l->copy != COPY_FAILED)
			forget_copy(l);
		l->requests_gone += owed_ends_client_request(ended);
	}
	*is_end = true;
	l->answered = 0;
	return verdict_of(ended);
}

enum ledger_verdict
ledger_receive(struct ledger *l, uint8_t type, struct owed *ended, bool *is_end)
{
	struct owed *o;

	*is_end = false;
	if (l->copy == COPY_FAILED && (type == 'E' || type == 'N' || type == 'S'))
		l->trust = LEDGER_IN_DOUBT; /* the message may belong to the head or to a Sync within the COPY */
	if (type == 'E')
		return receive_error(l);
	if (type == 'N' || type == 'S' || type == 'A') {
		/* Notices and parameters caused by pgweir's own messages are not for the client; notifications always
		 * are. A parameter that comes while OWED_TO_COMMIT is the head is the client's change: PostgreSQL
		 * reports parameters only before a ReadyForQuery, the first ReadyForQuery since the client's change may
		 * be that of pgweir's query, and this query changes no parameter. */
		if (l->count == 0 || type == 'A' || (type == 'S' && ledger_head(l)->to == OWED_TO_COMMIT))
			return LEDGER_PASS;
		return verdict_of(ledger_head(l));
	}
	if (type == 'Z')
		return receive_ready(l, ended, is_end);
	if (l->count == 0)
		return LEDGER_VIOLATION;
	o = &l->ring[l->head];
	if (l->copy == COPY_FAILED && o->kind != OWED_SYNC)
		/* a message after the COPY is answered, so no more Syncs within the COPY will be answered */
		forget_copy(l);
	switch (o->kind) {
	case OWED_QUERY:
	case OWED_EXECUTE:
		return receive_result(l, type);
	case OWED_PARSE:
	case OWED_DUPLICATE:
		return receive_simple_answer(l, type == '1');
	case OWED_BIND:
		return receive_simple_answer(l, type == '2');
	case OWED_CLOSE:
		return receive_simple_answer(l, type == '3');
	case OWED_DESCRIBE_PORTAL:
		return receive_simple_answer(l, type == 'T' || type == 'n');
	case OWED_DESCRIBE_STATEMENT:
		if (o->phase != 1 && type == 't') {
			enum ledger_verdict v = o->phase == 2 ? LEDGER_SWALLOW : verdict_of(o);

			o->phase = 1;
			return v;
		}
		return receive_simple_answer(l, o->phase == 1 && (type == 'T' || type == 'n'));
	case OWED_FUNCTION:
		return type == 'V' ? verdict_of(o) : LEDGER_VIOLATION;
	default:
		return LEDGER_VIOLATION; /* also for OWED_SYNC, which only ReadyForQuery or an error answers */
	}
}

size_t
ledger_list_client(const struct ledger *l, uint8_t *kinds, size_t cap)
{
	size_t count = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct owed *o = ledger_at(l, i);

		if (o->to != OWED_TO_CLIENT || o->kind == OWED_COPY_END)
			continue;
		if (count < cap)
			kinds[count] = o->kind;
		count++;
	}
	return count;
}

const char *
owed_kind_name(enum owed_kind kind)
{
	static const char *const names[] = { "Query",	 "Execute",  "FunctionCall", "Parse", "Parse",
					     "Bind",	 "Describe", "Describe",     "Close", "Sync",
					     "CopyDone", "Parse",    "Close" };

	return names[kind];
}
