/*
 * tests/fuzz/fuzz_ledger.c - each byte sends a message or receives one; the ledger must keep its promises whatever
 * comes.
 *
 * A byte below 0x80 is the type of a message that was received; above, its low four bits are the kind and the next two
 * whose it is. 0xff ends the connection, and a new one begins.
 *
 * Besides memory safety it checks: each ref is settled exactly once, with local replies only for local entries; after
 * each step no local entry is at the head, and only a head that can be in COPY is; a violation enters and settles
 * nothing; the short ways of the commonest replies do what ledger_receive() does, or nothing.
 */
#include "wire/frame.h"
#include "wire/ledger.h"
#include "fuzz.h"

#define STEPS_MAX 4096

struct run {
	struct ledger ledger;
	uint8_t settled[STEPS_MAX + 1]; /* by the number that is the ref */
	uint8_t kind[STEPS_MAX + 1];
	size_t pushed, ended;
};

static void
on_settled(void *arg, const struct owed *o, enum owed_end how)
{
	struct run *r = arg;
	size_t ref = (size_t)(uintptr_t)o->ref;

	must(ref >= 1 && ref <= r->pushed && r->settled[ref]++ == 0 && r->kind[ref] == o->kind);
	must(how == OWED_ANSWERED || how == OWED_FAILED || how == OWED_SKIPPED);
	r->ended++;
}

static void
on_local(void *arg, const struct owed *o)
{
	struct run *r = arg;

	must(o->kind == OWED_LOCAL_PARSE || o->kind == OWED_LOCAL_CLOSE);
	must(r->settled[(uintptr_t)o->ref] == 0);
}

static const struct ledger_ops ops = { on_settled, on_local, NULL };

static void
check(const struct run *r)
{
	const struct ledger *l = &r->ledger;
	const struct owed *o = ledger_head(l);
	uint32_t marks = 0;

	for (uint32_t i = 0; i < l->count; i++)
		marks += ledger_at(l, i)->kind >= OWED_COPY_END;
	must(l->no_reply_count == marks);
	must(l->count <= l->cap && (l->cap & (l->cap - 1)) == 0 && l->cap <= LEDGER_MAX);
	must(!ledger_local_is_due(l));
	must(l->intake != INTAKE_SYNC || l->count == 0);
	must(l->copy != COPY_FAILED || l->copy_syncs > 0);
	if (l->copy != COPY_NONE && l->copy != COPY_FAILED)
		must(o != NULL && (o->kind == OWED_QUERY || o->kind == OWED_EXECUTE));
	must(l->intake != INTAKE_COPY || l->copy == COPY_IN);
	must(!ledger_expects_row(l) || o->to == OWED_TO_CLIENT);
	must(r->ended <= r->pushed && r->pushed - r->ended <= l->count);
}

static void
send_one(struct run *r, uint8_t byte)
{
	static const uint8_t kinds[] = {
		OWED_QUERY,	      OWED_FUNCTION, OWED_PARSE, OWED_DUPLICATE, OWED_BIND,	OWED_DESCRIBE_STATEMENT,
		OWED_DESCRIBE_PORTAL, OWED_EXECUTE,  OWED_CLOSE, OWED_SYNC,	 OWED_COPY_END, OWED_LOCAL_PARSE,
		OWED_LOCAL_CLOSE
	}; /* in the order that the corpus was made for */
	enum owed_kind kind = (enum owed_kind)kinds[(byte & 15) % sizeof(kinds)];
	enum owed_to to = (enum owed_to)(byte >> 4 & 3);
	struct owed_request request = { .started_us = byte, .statements = byte };

	if (kind == OWED_QUERY || kind == OWED_FUNCTION || kind == OWED_SYNC)
		ledger_push_request(&r->ledger, kind, to, &request);
	else if (kind == OWED_COPY_END)
		ledger_push(&r->ledger, kind, to, NULL);
	else {
		r->kind[++r->pushed] = (uint8_t)kind;
		ledger_push(&r->ledger, kind, to, (void *)(uintptr_t)r->pushed);
	}
}

static void
ignore_settled(void *arg, const struct owed *o, enum owed_end how)
{
	(void)arg;
	(void)o;
	must(how == OWED_ANSWERED);
}

/* Returns true if a short way takes the message: *copy is the ledger afterwards, with a ring of its own. */
static bool
take_short_way(struct ledger *copy, const struct ledger *l, uint8_t type, struct owed *ended)
{
	static const struct ledger_ops no_ops = { ignore_settled, NULL, NULL };
	uint32_t kind;

	*copy = *l;
	copy->ops = &no_ops;
	copy->ring = calloc(l->cap + 1, sizeof(*copy->ring));
	must(copy->ring != NULL);
	if (l->cap > 0)
		memcpy(copy->ring, l->ring, l->cap * sizeof(*copy->ring));
	kind = ledger_plain_kind(copy);
	if (ledger_may_pass_through(kind, type))
		return true;
	return type == 'Z' ? ledger_take_ready(copy, kind, ended) : ledger_take_plain(copy, kind, type);
}

/* False: a violation, after which a connection is closed. */
static bool
receive_one(struct run *r, uint8_t type)
{
	struct owed ended = { .kind = 99 }, ended_shortly = { .kind = 99 };
	uint32_t count = r->ledger.count;
	size_t ended_before = r->ended;
	struct ledger copy;
	bool is_short = take_short_way(&copy, &r->ledger, type, &ended_shortly), is_end;
	enum ledger_verdict v = ledger_receive(&r->ledger, type, &ended, &is_end);

	must(is_end == (v != LEDGER_VIOLATION && type == 'Z'));
	must(is_end == (ended.kind != 99));
	must(!is_end || ended.statements == ended.started_us);
	if (v == LEDGER_VIOLATION) {
		must(type != 'E' && type != 'A' && type != 'N' && type != 'S');
		must(r->ledger.count == count && r->ended == ended_before && !is_short);
		free(copy.ring);
		return false;
	}
	ledger_advance(&r->ledger);
	must(!is_short || (v == LEDGER_PASS && copy.count == r->ledger.count && copy.head == r->ledger.head &&
			   copy.answered == r->ledger.answered && copy.requests_gone == r->ledger.requests_gone &&
			   memcmp(&ended, &ended_shortly, sizeof(ended)) == 0));
	free(copy.ring);
	return true;
}

static void
end_connection(struct run *r)
{
	ledger_fini(&r->ledger);
	must(r->ended == r->pushed && r->ledger.count == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run *r = calloc(1, sizeof(*r));

	must(r != NULL);
	ledger_init(&r->ledger, &ops, r);
	for (size_t i = 0; i < size && i < STEPS_MAX; i++) {
		if (data[i] == 0xff)
			end_connection(r);
		else if (data[i] >= 0x80)
			send_one(r, data[i]);
		else if (!receive_one(r, data[i]))
			end_connection(r);
		check(r);
	}
	end_connection(r);
	free(r);
	return 0;
}
