/*
 * src/wire/ledger.h - the replies that one server owes, in order, and the purpose of each.
 *
 * Each message sent to a server that it will answer is entered; each message received must match the head (protocol
 * chapter, "Message Flow"). That makes pipelines, errors in a pipeline (the server skips to Sync), Flush without Sync,
 * COPY and messages of our own right by construction. Pure: no I/O, no clock.
 *
 * Local entries are replies that pgweir sends itself (ParseComplete for a statement that the server has already,
 * CloseComplete): they wait for their turn like all others, and are skipped likewise when an error before them skips to
 * Sync.
 *
 * A ledger that could not grow remembers it (LEDGER_SHORT), and is asked when the batch is to be sent: its server is
 * closed then. Whoever enters messages need not look.
 *
 * Owns:   its ring. Borrows: the entries' refs.
 * Always: an entry with a ref is settled exactly once, also one that was not entered; after ledger_advance no local
 * entry is at the head. The owner calls it before it receives, and where nothing but local entries is left.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum owed_kind {
	/* These two may bring rows. */
	OWED_QUERY, /* ... until ReadyForQuery */
	OWED_EXECUTE, /* ... until CommandComplete, EmptyQueryResponse or PortalSuspended */
	OWED_FUNCTION, /* FunctionCallResponse, ReadyForQuery */
	OWED_PARSE, /* ParseComplete */
	OWED_DUPLICATE, /* a Parse of a name that is taken: an error, or ParseComplete after all */
	OWED_BIND, /* BindComplete */
	OWED_DESCRIBE_STATEMENT, /* ParameterDescription, then RowDescription or NoData */
	OWED_DESCRIBE_PORTAL, /* RowDescription or NoData */
	OWED_CLOSE, /* CloseComplete */
	OWED_SYNC, /* ReadyForQuery */
	OWED_COPY_END, /* nothing: marks the place of CopyDone or CopyFail among the others */
	OWED_LOCAL_PARSE, /* pgweir itself sends ParseComplete */
	OWED_LOCAL_CLOSE /* pgweir itself sends CloseComplete */
};

/* The purpose of a message: replies to the client's are passed on, all others are swallowed. */
enum owed_to {
	OWED_TO_CLIENT,
	OWED_TO_STATEMENT, /* a Parse or Close injected for a prepared statement: its error is the client's */
	OWED_TO_GUCS, /* the client's settings replayed */
	OWED_TO_PROBE, /* the query about session state */
	OWED_TO_FEATURE, /* a feature's own messages (listen); errors do not matter */
	OWED_TO_PING,
	OWED_TO_RESET, /* ROLLBACK, DISCARD ALL, the seal, after the client has gone */
	OWED_TO_OWNER, /* a query of the pool's; errors do not matter */
	OWED_TO_COMMIT, /* a question that a COMMIT is checked by; statements: which */
	OWED_TO_REPLAY, /* the question to a standby when it has replayed a position; errors mean that it has not */
	OWED_TO_NOBODY /* a request that went ahead (policy/policy.h) of a client that is served otherwise */
};

struct owed {
	uint8_t kind; /* enum owed_kind */
	uint8_t to; /* enum owed_to */
	uint8_t phase; /* QUERY: 1: further results are not for the client. DESCRIBE_STATEMENT: 1: ParameterDescription
			* has come; 2: it will be swallowed. LOCAL_PARSE: 1: it waits for a message of the server's that
			* comes behind it, so that both are sent at once */
	uint8_t shown; /* QUERY: how many further CommandCompletes are for the client; 0: all */
	uint32_t statements; /* how many statements the request had, for its owner; not QUERY, FUNCTION, SYNC: 1 if a
			      * Flush is behind it */
	union {
		void *ref; /* belongs to the owner; may be NULL */
		uint64_t started_us; /* QUERY, FUNCTION, SYNC: when the request's first byte was read */
	};
};

enum owed_end {
	OWED_ANSWERED, /* its reply came, or pgweir sent it */
	OWED_FAILED, /* it failed itself */
	OWED_SKIPPED /* an earlier error skipped it, or the connection ended */
};

struct ledger_ops {
	/* Called once for each entry with a ref. */
	void (*settled)(void *arg, const struct owed *o, enum owed_end how);
	/* A local entry's turn has come: sends its reply to the client (settled follows). */
	void (*local)(void *arg, const struct owed *o);
	/* While ledger_has_ahead(): what is about to be entered comes behind that. Calls ledger_end_ahead(), then
	 * enters what was sent. */
	void (*overtaken)(void *arg);
};

/* Whether it is known who owes what; a server whose ledger is not synchronised is closed. */
enum ledger_trust {
	LEDGER_SYNCHRONISED,
	LEDGER_IN_DOUBT, /* a COPY failed with a Sync in it, and no Sync is next to its CopyDone: nobody can know */
	LEDGER_SHORT /* a message was not entered, without memory or above LEDGER_MAX: nothing more may be sent */
};

/* Tells how the server takes what is sent next. */
enum ledger_intake {
	INTAKE_ALL,
	INTAKE_COPY, /* COPY IN: no CopyDone or CopyFail was sent yet */
	INTAKE_SYNC /* an error came: all up to the next Sync is ignored */
};

enum ledger_copy {
	COPY_NONE,
	COPY_IN,
	COPY_OUT,
	COPY_BOTH,
	COPY_FAILED /* a COPY IN: up to copy_syncs Syncs that were sent within it may be answered yet, ahead of the head
		     */
};

struct ledger {
	struct owed *ring;
	uint32_t cap, head, count; /* cap: 0 or a power of two */
	uint32_t room; /* cap; 0: something was sent behind all of this and is not entered yet: ledger_has_ahead() */
	enum ledger_copy copy; /* the head's, but COPY_FAILED */
	enum ledger_intake intake;
	/* CopyBothResponse may come; results may follow CopyDone. Set by own_ready(), never cleared. */
	bool is_replication;
	uint8_t trust; /* enum ledger_trust */
	uint32_t
	    copy_syncs; /* Syncs that were sent within the COPY IN: ignored by the server unless it failed before */
	uint32_t requests_gone; /* requests of the client that are done or skipped, and Syncs that a COPY has ignored */
	uint64_t
	    body_left; /* bytes of the message being received that are still to come: no local reply goes before them */
	uint32_t answered; /* the client's messages answered since the last ReadyForQuery; local replies don't count */
	uint32_t marks; /* entries that no message of the server's answers: OWED_COPY_END and local ones */
	const struct ledger_ops *ops;
	void *arg;
};

enum ledger_verdict {
	LEDGER_PASS, /* it is for the client */
	LEDGER_SWALLOW, /* it is for pgweir */
	LEDGER_VIOLATION /* not owed: the server cannot be trusted any more */
};

#define LEDGER_MAX 262144u /* entries; a caller stops reading its client long before */

void ledger_init(struct ledger *l, const struct ledger_ops *ops, void *arg);
void ledger_fini(struct ledger *l); /* settles the rest as skipped; l may be used again, and keeps body_left */
void ledger_enter(struct ledger *l, struct owed o); /* a message that is about to be sent */
/* Enters the Parse, Bind and Execute of one statement of our own; ref is the Execute's. */
void ledger_push_run(struct ledger *l, enum owed_to to, void *ref);
/* Describes a request: a QUERY, FUNCTION or SYNC. */
struct owed_request {
	uint64_t started_us;
	uint32_t statements;
	uint8_t shown; /* for a QUERY that was extended: how many CommandCompletes are for the client; 0: all */
};

/*
 * Handles a message of this type from the server. *is_end: it was the ReadyForQuery of a request, whose entry is then
 * in *ended. NoticeResponse, ParameterStatus and NotificationResponse may come at any time, even with nothing owed
 * (PASS).
 */
enum ledger_verdict ledger_receive(struct ledger *l, uint8_t type, struct owed *ended, bool *is_end);
/*
 * If only the Sync after a failed message of the client's is still unanswered: makes its ReadyForQuery pgweir's, as the
 * client's request will be sent again. Returns false, with nothing changed, if there is more.
 */
bool ledger_take_sync(struct ledger *l);
/* The last DESCRIBE_STATEMENT repeats an earlier one: its ParameterDescription, which the client has, is swallowed. */
void ledger_swallow_types(struct ledger *l);
/* Call it after the received message was passed on: sends the local replies whose turn has come. */
void ledger_advance(struct ledger *l);

/* Something is sent ahead of its turn, and entered later: at the latest when another is. The ledger isn't empty. */
void ledger_begin_ahead(struct ledger *l);
static inline bool
ledger_has_ahead(const struct ledger *l)
{
	return l->room < l->cap;
}

/* All that is left in the ledger was answered, and what is received next answers what was sent ahead. */
static inline bool
ledger_is_border(const struct ledger *l)
{
	return l->count == 0 && ledger_has_ahead(l);
}

/* From now on all is entered in its turn again. */
static inline void
ledger_end_ahead(struct ledger *l)
{
	l->room = l->cap;
}

/* Enters a message that was sent before the one at the head, of which nothing was received yet. Nothing is ahead. */
void ledger_enter_first(struct ledger *l, struct owed o);

static inline const struct owed *
ledger_head(const struct ledger *l)
{
	return l->count > 0 ? &l->ring[l->head] : NULL;
}

/* The i-th entry behind the head, which is the 0-th; i < l->count. */
static inline const struct owed *
ledger_at(const struct ledger *l, uint32_t i)
{
	assert(i < l->count);
	return &l->ring[(l->head + i) & (l->cap - 1)];
}

/* Returns true if a ReadyForQuery answers the entry: it is the last one of its request. */
static inline bool
owed_ends_request(const struct owed *o)
{
	return o->kind == OWED_QUERY || o->kind == OWED_FUNCTION || o->kind == OWED_SYNC;
}

/* The same, of a request that the client has sent. */
static inline bool
owed_ends_client_request(const struct owed *o)
{
	return o->to == OWED_TO_CLIENT && owed_ends_request(o);
}

/* The usual way of ledger_enter(): no error or COPY is open, and the entry waits for a message of the server's. */
__attribute__((always_inline)) static inline void
ledger_enter_next(struct ledger *l, struct owed o)
{
	if (l->intake != INTAKE_ALL || l->count >= l->room || o.kind >= OWED_COPY_END)
		ledger_enter(l, o);
	else
		l->ring[(l->head + l->count++) & (l->cap - 1)] = o;
}

/* Enters a message of the client's, and one that follows it. */
__attribute__((always_inline)) static inline void
ledger_push_both(struct ledger *l, enum owed_kind kind, enum owed_kind next)
{
	const struct owed first = { .kind = (uint8_t)kind }, second = { .kind = (uint8_t)next };

	if (l->intake != INTAKE_ALL || l->count + 2 > l->room) {
		ledger_enter(l, first);
		ledger_enter(l, second);
		return;
	}
	l->ring[(l->head + l->count) & (l->cap - 1)] = first;
	l->ring[(l->head + l->count + 1) & (l->cap - 1)] = second;
	l->count += 2;
}

static inline void
ledger_push(struct ledger *l, enum owed_kind kind, enum owed_to to, void *ref)
{
	ledger_enter_next(l, (struct owed){ .kind = (uint8_t)kind, .to = (uint8_t)to, .ref = ref });
}

static inline void
ledger_push_request(struct ledger *l, enum owed_kind kind, enum owed_to to, const struct owed_request *request)
{
	ledger_enter_next(l, (struct owed){ .kind = (uint8_t)kind,
					    .to = (uint8_t)to,
					    .shown = request->shown,
					    .statements = request->statements,
					    .started_us = request->started_us });
}

/* Returns true if a DataRow for the client may come now. The fast path of large results. */
static inline bool
ledger_expects_row(const struct ledger *l)
{
	const struct owed *o = ledger_head(l);

	return o != NULL && o->to == OWED_TO_CLIENT && o->phase == 0 &&
	       (o->kind == OWED_QUERY || o->kind == OWED_EXECUTE) && l->copy == COPY_NONE;
}

/*
 * Returns the head's enum owed_kind if it is the client's and nothing is special about it: no COPY is open, and neither
 * were some of its results answered nor are some hidden. Else something greater than any kind.
 */
static inline uint32_t
ledger_plain_kind(const struct ledger *l)
{
	const struct owed *o = &l->ring[l->head];

	if (l->count == 0 || l->copy != COPY_NONE)
		return UINT32_MAX;
	return o->kind | (uint32_t)o->to << 8 | (uint32_t)o->phase << 16 | (uint32_t)o->shown << 24; /* is one load */
}

/* Returns true if what stands behind the head, if anything does, waits for a message of the server's. */
static inline bool
ledger_is_next_theirs(const struct ledger *l)
{
	return l->marks == 0 || l->count < 2 || ledger_at(l, 1)->kind < OWED_COPY_END;
}

static inline void
ledger_drop_head(struct ledger *l)
{
	l->head = (l->head + 1) & (l->cap - 1);
	l->count--;
}

/* Takes the head, whose plain kind is wanted, as answered. Returns false with nothing changed if it is another one. */
__attribute__((always_inline)) static inline bool
ledger_take_head(struct ledger *l, uint32_t plain_kind, enum owed_kind wanted)
{
	struct owed taken;

	if (plain_kind != (uint32_t)wanted || !ledger_is_next_theirs(l))
		return false;
	taken = l->ring[l->head]; /* its place may be taken at once */
	l->answered++;
	ledger_drop_head(l);
	if (taken.ref != NULL)
		l->ops->settled(l->arg, &taken, OWED_ANSWERED);
	return true;
}

/* Returns true for rows, and a Query's description of them: they are the client's, and the ledger stays as it is.
 * plain_kind: ledger_plain_kind(). */
static inline bool
ledger_lets_pass(uint32_t plain_kind, uint8_t type)
{
	return plain_kind <= OWED_EXECUTE && (type == 'D' || (type == 'T' && plain_kind == OWED_QUERY));
}

/*
 * Handles in a few instructions the other replies that come with every query: descriptions of rows, CommandComplete,
 * ParseComplete and BindComplete. Returns true if it was owed to the client and no local reply is due behind it;
 * otherwise nothing has changed, and ledger_receive() must see it. plain_kind: ledger_plain_kind().
 */
__attribute__((always_inline)) static inline bool
ledger_take_plain(struct ledger *l, uint32_t plain_kind, uint8_t type)
{
	switch (type) {
	case 'C':
		return plain_kind == OWED_QUERY || ledger_take_head(l, plain_kind, OWED_EXECUTE);
	case '1':
		return ledger_take_head(l, plain_kind, OWED_PARSE);
	case '2':
		return ledger_take_head(l, plain_kind, OWED_BIND);
	case 'T':
	case 'n':
		return plain_kind == OWED_DESCRIBE_PORTAL && l->ring[l->head].ref == NULL &&
		       ledger_take_head(l, plain_kind, OWED_DESCRIBE_PORTAL);
	default:
		return false;
	}
}

/* The same for the ReadyForQuery of a request of the client's, which is copied to *ended. */
static inline bool
ledger_take_ready(struct ledger *l, uint32_t plain_kind, struct owed *ended)
{
	if ((plain_kind != OWED_QUERY && plain_kind != OWED_SYNC) || !ledger_is_next_theirs(l))
		return false;
	*ended = l->ring[l->head];
	ledger_drop_head(l);
	l->requests_gone++;
	l->answered = 0;
	return true;
}

/* Returns true if no message of the server's will come for what is entered, all of it local. */
static inline bool
ledger_is_ours(const struct ledger *l)
{
	return l->marks > 0 && l->marks == l->count;
}

static inline bool
ledger_is_our_turn(const struct ledger *l)
{
	return l->count > 0 && l->ring[l->head].kind >= OWED_COPY_END && l->body_left == 0;
}

/*
 * Returns true if anything is owed to the client. *since_us: when the first byte was read of the request that is
 * answered next; 0: its end was not sent yet.
 */
bool ledger_owes_client(const struct ledger *l, uint64_t *since_us);
/* A Flush is sent: what was entered before is answered without a Sync. */
void ledger_flush(struct ledger *l);
/*
 * Returns true if a message of the server's is due, whatever is sent next; false: it waits for more. is_cut: the last
 * message was not sent to its end.
 */
bool ledger_is_due(const struct ledger *l, bool is_cut);
/* Returns how many whole requests of the client were sent: what is sent now is of the next one. It wraps around. */
uint32_t ledger_requests_sent(const struct ledger *l);
/* Returns true if something of the client's own is owed that may begin or end a transaction block. */
bool ledger_may_change_block(const struct ledger *l);
/* Returns true if a request of our own, with its own Sync, is answered next. *since_us: when it was sent. */
bool ledger_owes_us(const struct ledger *l, uint64_t *since_us);

/* Returns true if all that is owed is what went ahead, and is swallowed. */
bool ledger_owes_nobody(const struct ledger *l);

/* Writes the kinds of what is owed to the client, in order, local replies too; at most cap. Returns how many. */
size_t ledger_list_client(const struct ledger *l, uint8_t *kinds, size_t cap);

const char *owed_kind_name(enum owed_kind kind); /* "Execute", for the log */
