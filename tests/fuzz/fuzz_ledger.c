/*
 * tests/fuzz/fuzz_ledger.c - each byte sends a message or receives one; the ledger must keep its promises whatever
 * comes.
 *
 * A byte below 0x80 is the type of a message that was received; above, its low four bits are the kind and the next two
 * whose it is. 0xff ends the connection, and a new one begins.
 *
 * Besides memory safety it checks: each ref is settled exactly once, with local replies only for local entries; after
 * each step no local entry is at the head, and only a head that can be in COPY is; a violation enters and settles
 * nothing.
 */
#include "wire/frame.h"
#include "wire/ledger.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct ledger ledger;
	uint8_t settled[STEPS_MAX + 1]; /* by the number that is the ref */
	uint8_t kind[STEPS_MAX + 1];
	size_t pushed, ended;
};

static void
must(bool holds)
{
	if (!holds)
		abort();
}

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

static const struct ledger_ops ops = { on_settled, on_local };

static void
check(const struct run *r)
{
	const struct ledger *l = &r->ledger;
	const struct owed *o = ledger_head(l);

	must(l->count <= l->cap && (l->cap & (l->cap - 1)) == 0 && l->cap <= LEDGER_MAX);
	must(!ledger_is_our_turn(l));
	must(l->intake != INTAKE_SYNC || l->count == 0);
	if (l->copy != COPY_NONE)
		must(o != NULL && (o->kind == OWED_QUERY || o->kind == OWED_EXECUTE));
	must(l->intake != INTAKE_COPY || l->copy == COPY_IN);
	must(!ledger_expects_row(l) || o->to == OWED_TO_CLIENT);
	must(r->ended <= r->pushed && r->pushed - r->ended <= l->count);
}

static void
send_one(struct run *r, uint8_t byte)
{
	enum owed_kind kind = (enum owed_kind)((byte & 15) % (OWED_LOCAL_CLOSE + 1));
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

/* False: a violation, after which a connection is closed. */
static bool
receive_one(struct run *r, uint8_t type)
{
	struct owed ended = { .kind = 99 };
	uint32_t count = r->ledger.count;
	size_t ended_before = r->ended;
	bool is_end;
	enum ledger_verdict v = ledger_receive(&r->ledger, type, &ended, &is_end);

	must(is_end == (v != LEDGER_VIOLATION && type == 'Z'));
	must(is_end == (ended.kind != 99));
	must(!is_end || ended.statements == ended.started_us);
	if (v == LEDGER_VIOLATION) {
		must(type != 'E' && type != 'A' && type != 'N' && type != 'S');
		must(r->ledger.count == count && r->ended == ended_before);
		return false;
	}
	ledger_advance(&r->ledger);
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
