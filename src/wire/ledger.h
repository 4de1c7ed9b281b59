/*
 * src/wire/ledger.h - the replies that one server owes, in order, and the purpose of each.
 *
 * Each message that a server will answer is entered when it is sent; each message received from the server must match
 * the head, which is the oldest entry (protocol chapter, "Message Flow"). This makes pipelines, errors in a pipeline
 * (the server skips to Sync), Flush without Sync, COPY and pgweir's own messages correct without special cases. The
 * ledger is pure: it does no I/O and reads no clock.
 *
 * Local entries are replies that pgweir sends itself: ParseComplete for a statement that the server already has, and
 * CloseComplete. They wait for their turn like all other replies; when an error ahead of them skips to Sync, they are
 * skipped, too.
 *
 * If the ledger can't grow, trust becomes LEDGER_SHORT, so callers that enter messages need not check. The sender of
 * the batch checks trust, and closes the server in that case.
 *
 * Owns:   its ring. Borrows: the entries' refs.
 * Always: an entry with a ref is settled exactly once, even if it could not be entered. After ledger_advance() the head
 *         is never a local entry. The owner calls ledger_advance() before it receives, and when only local entries are
 *         left.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum owed_kind {
	OWED_QUERY, /* may bring rows; ends with ReadyForQuery */
	OWED_EXECUTE, /* may bring rows; ends with CommandComplete, EmptyQueryResponse or PortalSuspended */
	OWED_FUNCTION, /* FunctionCallResponse, ReadyForQuery */
	OWED_PARSE, /* ParseComplete */
	OWED_DUPLICATE, /* a Parse of a name that is in use: answered with an error, or with ParseComplete after all */
	OWED_BIND, /* BindComplete */
	OWED_DESCRIBE_STATEMENT, /* ParameterDescription, then RowDescription or NoData */
	OWED_DESCRIBE_PORTAL, /* RowDescription or NoData */
	OWED_CLOSE, /* CloseComplete */
	OWED_SYNC, /* ReadyForQuery */
	OWED_COPY_END, /* no reply: the entry marks the place of CopyDone or CopyFail among the others */
	OWED_LOCAL_PARSE, /* ParseComplete that pgweir sends itself */
	OWED_LOCAL_CLOSE /* CloseComplete that pgweir sends itself */
};

/* The purpose of a message. Replies to the client's messages are passed on; all others are swallowed. */
enum owed_to {
	OWED_TO_CLIENT,
	/* a Parse or Close that pgweir injected for a prepared statement; its error goes to the client */
	OWED_TO_STATEMENT,
	OWED_TO_GUCS, /* a replay of the client's settings */
	OWED_TO_PROBE, /* the query about session state (probe) */
	OWED_TO_FEATURE, /* a feature's own messages (listen); errors do not matter */
	OWED_TO_PING,
	OWED_TO_RESET, /* ROLLBACK, DISCARD ALL and washes (seal/seal.h), after the client has gone */
	OWED_TO_OWNER, /* a query of the pool; errors do not matter */
	OWED_TO_COMMIT, /* a question by which a COMMIT is checked; owed.statements tells which question */
	OWED_TO_REPLAY, /* asks a standby to say when it has replayed a position; an error means that it has not */
	OWED_TO_NOBODY /* a request that was sent ahead (policy/policy.h) for a client that another server has served */
};

struct owed {
	uint8_t kind; /* enum owed_kind */
	uint8_t to; /* enum owed_to */
	/* The meaning depends on the kind. QUERY: 1 if the results still to come are not for the client.
	 * DESCRIBE_STATEMENT: 1 after ParameterDescription has come, 2 if ParameterDescription will be swallowed.
	 * LOCAL_PARSE: 1 if the reply waits for the server's next message, so that one send has both. */
	uint8_t phase;
	uint8_t shown; /* QUERY: how many of the CommandCompletes still to come are for the client; 0 if all are */
	/* QUERY, FUNCTION, SYNC: how many statements the request had, for its owner. TO_COMMIT: which question it is.
	 * Other kinds: 1 if a Flush follows the message. */
	uint32_t statements;
	union {
		void *ref; /* belongs to the owner; may be NULL */
		uint64_t started_us; /* QUERY, FUNCTION, SYNC: when the request's first byte was read */
	};
};

enum owed_end {
	OWED_ANSWERED, /* the reply came, or pgweir sent it */
	OWED_FAILED, /* the message itself failed */
	OWED_SKIPPED /* an earlier error skipped it, or the connection ended */
};

struct ledger_ops {
	/* Called once for each entry with a ref, when the entry leaves the ledger. */
	void (*settled)(void *arg, const struct owed *o, enum owed_end how);
	/* Called when a local entry's turn has come: sends the entry's reply to the client. settled() follows. */
	void (*answer_local)(void *arg, const struct owed *o);
	/* Called before a message is entered while ledger_has_ahead(). The callback calls ledger_end_ahead(), then
	 * enters the messages that were sent ahead. */
	void (*overtaken)(void *arg);
};

/* Says whether the ledger's order of replies can be trusted. A server whose ledger is not synchronized is closed. */
enum ledger_trust {
	LEDGER_SYNCHRONISED,
	/* the owner of the next reply can't be known: a COPY has failed within which a Sync was sent, and the message
	 * after its CopyDone is no Sync */
	LEDGER_IN_DOUBT,
	LEDGER_SHORT /* a message was not entered, for lack of memory or above LEDGER_MAX: nothing more may be sent */
};

/* How the server handles the messages that are sent to it next. */
enum ledger_intake {
	INTAKE_ALL,
	INTAKE_COPY, /* a COPY IN: neither CopyDone nor CopyFail has been sent yet */
	INTAKE_SYNC /* an error came: the server ignores everything up to the next Sync */
};

enum ledger_copy {
	COPY_NONE,
	COPY_IN,
	COPY_OUT,
	COPY_BOTH,
	/* A COPY IN has failed: up to copy_syncs Syncs that were sent within the COPY may still be answered, ahead of
	 * the head. */
	COPY_FAILED
};

struct ledger {
	struct owed *ring;
	/* the ring's size, which is 0 or a power of two; the head's index; the number of entries */
	uint32_t cap, head, count;
	/* how many entries ledger_enter_next() may make by itself: cap, or 0 while a message that was sent ahead is not
	 * entered yet (ledger_has_ahead()) */
	uint32_t room;
	enum ledger_copy copy; /* the COPY of the head, except for COPY_FAILED */
	enum ledger_intake intake;
	/* CopyBothResponse may come, and results may follow CopyDone. Set by own_ready(), never cleared. */
	bool is_replication;
	uint8_t trust; /* enum ledger_trust */
	/* Syncs sent within the COPY IN. The server ignores them unless the COPY failed before it read them. */
	uint32_t copy_syncs;
	uint32_t requests_gone; /* requests of the client that are done or skipped, and Syncs that a COPY has ignored */
	/* bytes still to come of the message being received; no local reply is sent before they have come */
	uint64_t body_left;
	uint32_t answered; /* the client's messages answered since the last ReadyForQuery; local replies don't count */
	uint32_t no_reply_count; /* how many entries get no answer from the server: OWED_COPY_END and local ones */
	const struct ledger_ops *ops;
	void *arg;
};

enum ledger_verdict {
	LEDGER_PASS, /* the message is for the client */
	LEDGER_SWALLOW, /* the message is for pgweir */
	LEDGER_VIOLATION /* the message was not owed: the server cannot be trusted any more */
};

#define LEDGER_MAX 262144u /* entries; a caller stops reading from its client long before */

void ledger_init(struct ledger *l, const struct ledger_ops *ops, void *arg);
void ledger_fini(struct ledger *l); /* Settles all entries as skipped. l may be used again; it keeps body_left. */
void ledger_enter(struct ledger *l, struct owed o); /* enters a message that is about to be sent */
/* Enters the Parse, Bind and Execute of one statement of pgweir's own; ref belongs to the Execute. */
void ledger_push_run(struct ledger *l, enum owed_to to, void *ref);
/* Describes a request: a QUERY, FUNCTION or SYNC. The fields are those of struct owed. */
struct owed_request {
	uint64_t started_us;
	uint32_t statements;
	/* if pgweir has added statements to a QUERY: how many CommandCompletes are the client's; else 0 */
	uint8_t shown;
};

/*
 * Handles a message of this type from the server. Sets *is_end to true if the message was the ReadyForQuery of a
 * request, and copies that request's entry to *ended. NoticeResponse, ParameterStatus and NotificationResponse may come
 * at any time: if no reply is owed, LEDGER_PASS is returned for them.
 */
enum ledger_verdict ledger_receive(struct ledger *l, uint8_t type, struct owed *ended, bool *is_end);
/*
 * If the only unanswered entry is the Sync after a failed message of the client's, redirects its ReadyForQuery to
 * pgweir and returns true, because the client's request will be sent again. Returns false, with nothing changed, if
 * other entries are unanswered.
 */
bool ledger_take_sync(struct ledger *l);
/*
 * Marks the last DESCRIBE_STATEMENT as a repetition of an earlier one: its ParameterDescription will be swallowed,
 * because the client already has it.
 */
void ledger_swallow_types(struct ledger *l);
/* Sends the local replies whose turn has come. Call this function after the received message was passed on. */
void ledger_advance(struct ledger *l);

/*
 * Notes that a message is sent ahead of its turn. The message is entered later, at the latest when another message is
 * to be entered. The ledger must not be empty.
 */
void ledger_begin_ahead(struct ledger *l);
static inline bool
ledger_has_ahead(const struct ledger *l)
{
	return l->room < l->cap;
}

/* Returns true if no entry is left, so the next message received answers the message that was sent ahead. */
static inline bool
ledger_ahead_is_next(const struct ledger *l)
{
	return l->count == 0 && ledger_has_ahead(l);
}

/* Ends ledger_begin_ahead(): from now on every message is entered in its turn again. */
static inline void
ledger_end_ahead(struct ledger *l)
{
	l->room = l->cap;
}

/*
 * Enters a message that was sent before the one at the head. Nothing may have been received for the head yet, and no
 * message may be ahead.
 */
void ledger_enter_first(struct ledger *l, struct owed o);

static inline const struct owed *
ledger_head(const struct ledger *l)
{
	return l->count > 0 ? &l->ring[l->head] : NULL;
}

/* Returns the i-th entry after the head; the head is entry 0. i must be less than l->count. */
static inline const struct owed *
ledger_at(const struct ledger *l, uint32_t i)
{
	assert(i < l->count);
	return &l->ring[(l->head + i) & (l->cap - 1)];
}

/* Returns true if ReadyForQuery answers the entry, which is then the last one of its request. */
static inline bool
owed_ends_request(const struct owed *o)
{
	return o->kind == OWED_QUERY || o->kind == OWED_FUNCTION || o->kind == OWED_SYNC;
}

/* Returns true if ReadyForQuery answers the entry, and the request is the client's. */
static inline bool
owed_ends_client_request(const struct owed *o)
{
	return o->to == OWED_TO_CLIENT && owed_ends_request(o);
}

/* Does what ledger_enter() does; fast if no error or COPY is open and the server will answer the message. */
__attribute__((always_inline)) static inline void
ledger_enter_next(struct ledger *l, struct owed o)
{
	if (l->intake != INTAKE_ALL || l->count >= l->room || o.kind >= OWED_COPY_END)
		ledger_enter(l, o);
	else
		l->ring[(l->head + l->count++) & (l->cap - 1)] = o;
}

/* Enters two consecutive messages of the client's. */
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

/* Returns true if a DataRow for the client may come now. This is the fast path of large results. */
static inline bool
ledger_expects_row(const struct ledger *l)
{
	const struct owed *o = ledger_head(l);

	return o != NULL && o->to == OWED_TO_CLIENT && o->phase == 0 &&
	       (o->kind == OWED_QUERY || o->kind == OWED_EXECUTE) && l->copy == COPY_NONE;
}

/*
 * Returns the head's enum owed_kind if the head is the client's and in its plain state: no COPY is open, its phase is 0
 * and all of its results are shown. Otherwise returns a number greater than any kind.
 */
static inline uint32_t
ledger_plain_kind(const struct ledger *l)
{
	const struct owed *o = &l->ring[l->head];

	if (l->count == 0 || l->copy != COPY_NONE)
		return UINT32_MAX;
	/* compiles to one load */
	return o->kind | (uint32_t)o->to << 8 | (uint32_t)o->phase << 16 | (uint32_t)o->shown << 24;
}

/* Returns true if the entry after the head waits for a message of the server, or if there is no such entry. */
static inline bool
ledger_next_is_remote(const struct ledger *l)
{
	return l->no_reply_count == 0 || l->count < 2 || ledger_at(l, 1)->kind < OWED_COPY_END;
}

static inline void
ledger_drop_head(struct ledger *l)
{
	l->head = (l->head + 1) & (l->cap - 1);
	l->count--;
}

/*
 * Removes the head as answered and returns true if plain_kind is the wanted kind and no local reply is due after the
 * head. Otherwise returns false, with nothing changed.
 */
__attribute__((always_inline)) static inline bool
ledger_take_head(struct ledger *l, uint32_t plain_kind, enum owed_kind wanted)
{
	struct owed taken;

	if (plain_kind != (uint32_t)wanted || !ledger_next_is_remote(l))
		return false;
	taken = l->ring[l->head]; /* a copy, because settled() may enter a message in its place */
	l->answered++;
	ledger_drop_head(l);
	if (taken.ref != NULL)
		l->ops->settled(l->arg, &taken, OWED_ANSWERED);
	return true;
}

/*
 * Returns true if a message of this type is a row, or a Query's description of its rows, and is for the client: such a
 * message does not change the ledger. plain_kind comes from ledger_plain_kind().
 */
static inline bool
ledger_lets_pass(uint32_t plain_kind, uint8_t type)
{
	return plain_kind <= OWED_EXECUTE && (type == 'D' || (type == 'T' && plain_kind == OWED_QUERY));
}

/*
 * Handles, in a few instructions, the other replies that come with every query: descriptions of rows, CommandComplete,
 * ParseComplete and BindComplete. Returns true if the reply was owed to the client and no local reply is due after it.
 * Otherwise nothing has changed, and the caller must pass the message to ledger_receive(). plain_kind comes from
 * ledger_plain_kind().
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

/*
 * Handles the ReadyForQuery of a client's request in a few instructions, and copies the request's entry to *ended.
 * Returns false, with nothing changed, if ledger_receive() must handle the message.
 */
static inline bool
ledger_take_ready(struct ledger *l, uint32_t plain_kind, struct owed *ended)
{
	if ((plain_kind != OWED_QUERY && plain_kind != OWED_SYNC) || !ledger_next_is_remote(l))
		return false;
	*ended = l->ring[l->head];
	ledger_drop_head(l);
	l->requests_gone++;
	l->answered = 0;
	return true;
}

/* Returns true if the ledger has entries and all of them are local: no message of the server will answer them. */
static inline bool
ledger_is_all_local(const struct ledger *l)
{
	return l->no_reply_count > 0 && l->no_reply_count == l->count;
}

static inline bool
ledger_local_is_due(const struct ledger *l)
{
	return l->count > 0 && l->ring[l->head].kind >= OWED_COPY_END && l->body_left == 0;
}

/*
 * Returns true if a reply is owed to the client. Sets *since_us to when the first byte of the request that is answered
 * next was read, or to 0 if the end of that request was not sent yet.
 */
bool ledger_owes_client(const struct ledger *l, uint64_t *since_us);
/* Notes that a Flush is sent: the server answers the messages entered before it without a Sync. */
void ledger_flush(struct ledger *l);
/*
 * Returns true if the server will send a message without further input, and false if it waits for input. is_cut: the
 * last message that was entered is not sent completely yet.
 */
bool ledger_is_due(const struct ledger *l, bool is_cut);
/*
 * Returns how many whole requests of the client were sent; messages sent now belong to the next one. The number wraps
 * around.
 */
uint32_t ledger_requests_sent(const struct ledger *l);
/* Returns true if a message that may begin or end a transaction block is unanswered, and is the client's own. */
bool ledger_may_change_block(const struct ledger *l);
/*
 * Returns true if a request of pgweir's own, with its own Sync, is answered next, and sets *since_us to when that
 * request was sent.
 */
bool ledger_owes_us(const struct ledger *l, uint64_t *since_us);

/* Returns true if entries are left and all of them are OWED_TO_NOBODY. */
bool ledger_owes_nobody(const struct ledger *l);

/*
 * Writes the kinds of the replies owed to the client, local ones included, in order; at most cap of them. Returns how
 * many there are, which may be more than cap.
 */
size_t ledger_list_client(const struct ledger *l, uint8_t *kinds, size_t cap);

const char *owed_kind_name(enum owed_kind kind); /* returns a name for the log, such as "Execute" */
