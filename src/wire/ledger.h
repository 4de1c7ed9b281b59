/*
 * src/wire/ledger.h - the replies that one server owes, in order, and the purpose of each.
 *
 * When a message that the server will answer is sent, an entry for the message is added at the end. The oldest entry is
 * the head. Each message that the server sends must be a reply to the head (PostgreSQL's manual, "Message Flow"). So
 * other code needs no special cases for pipelines, Flush, COPY, pgweir's own messages, or errors in a pipeline, after
 * which the server ignores everything up to a Sync. The ledger is pure: it does no I/O and reads no clock.
 *
 * Local entries stand for replies that pgweir sends itself: ParseComplete for a statement that the server already has,
 * and CloseComplete. A local reply is sent when its entry becomes the head. If the server ignores everything up to a
 * Sync, local entries before the Sync are skipped, too.
 *
 * If the ledger can't grow, its field `trust` becomes LEDGER_SHORT. So callers that enter messages need not check for
 * errors: the code that sends the batch checks `trust`, and closes the server.
 *
 * Owns:   its ring. Borrows: the entries' refs.
 * Always: settled() is called exactly once for an entry with a ref, even if the entry could not be added. The
 *         owner calls ledger_advance() before it passes a message to ledger_receive(), and when only local entries are
 *         left. After ledger_advance() the head is never a local entry, except within a message of the server.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum owed_kind {
	OWED_QUERY, /* any results, then ReadyForQuery */
	OWED_EXECUTE, /* any rows, then CommandComplete, EmptyQueryResponse or PortalSuspended */
	OWED_FUNCTION, /* FunctionCallResponse, then ReadyForQuery */
	OWED_PARSE, /* ParseComplete */
	OWED_DUPLICATE, /* an error, because the Parse has a name that is in use; or ParseComplete */
	OWED_BIND, /* BindComplete */
	OWED_DESCRIBE_STATEMENT, /* ParameterDescription, then RowDescription or NoData */
	OWED_DESCRIBE_PORTAL, /* RowDescription or NoData */
	OWED_CLOSE, /* CloseComplete */
	OWED_SYNC, /* ReadyForQuery */
	OWED_COPY_END, /* no reply; the entry marks the place of CopyDone or CopyFail */
	OWED_LOCAL_PARSE, /* ParseComplete that pgweir sends itself */
	OWED_LOCAL_CLOSE /* CloseComplete that pgweir sends itself */
};

/* The purpose of a message. Replies to OWED_TO_CLIENT are passed on to the client; pgweir swallows all others. */
enum owed_to {
	OWED_TO_CLIENT,
	/* a message that a client's message needs, such as a statement's Parse; an error is passed on to the client */
	OWED_TO_STATEMENT,
	OWED_TO_GUCS, /* SQL that gives the server the client's settings, or begins the client's transaction there */
	OWED_TO_PGWEIR, /* a query whose rows pgweir reads: the probe of session state, or a query of dedicated_ask() */
	OWED_TO_FEATURE, /* a message whose errors do not matter, for LISTEN and other features */
	OWED_TO_PING,
	OWED_TO_RESET, /* SQL that removes session state after the client has gone (seal/seal.h) */
	OWED_TO_OWNER, /* a query of the pool; errors do not matter */
	OWED_TO_COMMIT, /* a query by which a COMMIT is checked; owed.statements says which query */
	OWED_TO_REPLAY, /* a query to a standby, which answers once it has replayed a position, or with an error */
	OWED_TO_NOBODY /* a request that was sent ahead (policy/policy.h), but was then answered by another server */
};

/* Returns true for messages of the client, and for messages that these need: the client gets the errors of both. */
static inline bool
owed_to_is_for_client(enum owed_to to)
{
	return to == OWED_TO_CLIENT || to == OWED_TO_STATEMENT;
}

struct owed {
	uint8_t kind; /* enum owed_kind */
	uint8_t to; /* enum owed_to */
	/* The meaning depends on the kind. QUERY: 1 if no more results are for the client. DESCRIBE_STATEMENT: 1 after
	 * ParameterDescription has come, 2 if ParameterDescription will be swallowed. LOCAL_PARSE: 1 if the reply waits
	 * for the server's next message, so that one send() carries both. */
	uint8_t phase;
	/* how many more CommandCompletes are for the client, if pgweir has added statements to the QUERY; else 0 */
	uint8_t client_completes_left;
	/* QUERY, FUNCTION, SYNC: how many statements the request has (not used by the ledger). OWED_TO_COMMIT: which
	 * query it is. Other entries: 1 if a Flush follows the message. */
	uint32_t statements;
	union {
		void *ref; /* passed to settled(); may be NULL */
		uint64_t started_us; /* QUERY, FUNCTION, SYNC: when the request's first byte was read */
	};
};

enum owed_end {
	OWED_ANSWERED, /* the server or, for a local entry, pgweir has sent the reply */
	OWED_FAILED, /* the server has answered with an error */
	OWED_SKIPPED /* the server ignored the message after an earlier error, or the connection ended */
};

struct ledger_ops {
	/* Called once for each entry with a ref, when the entry leaves the ledger. */
	void (*settled)(void *arg, const struct owed *o, enum owed_end how);
	/* Sends the client the reply of a local entry, which has become the head. settled() is called next. */
	void (*answer_local)(void *arg, const struct owed *o);
	/* Called before a message is entered, if ledger_has_ahead(). Must call ledger_end_ahead(), then enter the
	 * messages that were sent ahead. */
	void (*overtaken)(void *arg);
};

/* Says whether the ledger still knows which reply comes next. If not, the server is closed. */
enum ledger_trust {
	LEDGER_SYNCHRONISED,
	/* the next reply may belong to the head, or to a Sync that was sent within a COPY that has failed */
	LEDGER_IN_DOUBT,
	LEDGER_SHORT /* there was no memory or room (LEDGER_MAX) for an entry, so nothing more may be sent */
};

/* How the server handles the messages that are sent next. */
enum ledger_intake {
	INTAKE_ALL, /* the server answers all messages */
	INTAKE_COPY, /* the server is in a COPY IN, for which neither CopyDone nor CopyFail was sent yet */
	INTAKE_SYNC /* the server has sent an error, and ignores everything up to the next Sync */
};

enum ledger_copy {
	COPY_NONE,
	COPY_IN,
	COPY_OUT,
	COPY_BOTH,
	/* a COPY IN has failed, and before the reply to the head, the server may answer up to copy_syncs Syncs that
	 * were sent within the COPY */
	COPY_FAILED
};

struct ledger {
	struct owed *ring;
	/* cap: the ring's size, 0 or a power of two; head: the head's index; count: the number of entries */
	uint32_t cap, head, count;
	/* cap, or 0 while a message is ahead, so ledger_enter_fast() needs only one comparison */
	uint32_t room;
	enum ledger_copy copy; /* the COPY that the head has begun; COPY_FAILED is about an earlier COPY */
	enum ledger_intake intake;
	/* CopyBothResponse, and results after CopyDone, are allowed. Set by one_client_ready(), never cleared. */
	bool is_replication;
	uint8_t trust; /* enum ledger_trust */
	/* Syncs that were sent within a COPY IN. The server answers such a Sync only if the COPY failed before it. */
	uint32_t copy_syncs;
	/* the client's requests that are done or skipped, or whose Sync PostgreSQL ignores because of a COPY IN */
	uint32_t requests_gone;
	/* bytes still to come of the message that is being received; local replies wait for the end of this message */
	uint64_t body_left;
	uint32_t answered; /* how many of the client's messages the server has answered since its last ReadyForQuery */
	uint32_t no_reply_count; /* entries that the server does not answer: OWED_COPY_END and local entries */
	const struct ledger_ops *ops;
	void *arg;
};

enum ledger_verdict {
	LEDGER_PASS, /* the message is for the client */
	LEDGER_SWALLOW, /* the message is for pgweir */
	LEDGER_VIOLATION /* the message is not a reply to the head, so the server must be closed */
};

#define LEDGER_MAX 262144u /* the most entries; the relay stops reading from a client long before */

void ledger_init(struct ledger *l, const struct ledger_ops *ops, void *arg);
/* Settles all entries as OWED_SKIPPED, and resets l except for body_left. l may be used again. */
void ledger_fini(struct ledger *l);
void ledger_enter(struct ledger *l, struct owed o); /* adds an entry for a message that is about to be sent */
/* Adds entries for the Parse, Bind and Execute of a statement of pgweir's own. The entry of the Execute gets ref. */
void ledger_push_run(struct ledger *l, enum owed_to to, void *ref);
/* Fields of struct owed for a QUERY, FUNCTION or SYNC. */
struct owed_request {
	uint64_t started_us;
	uint32_t statements;
	uint8_t client_completes; /* the first value of owed.client_completes_left */
};

/* Handles a message of this type from the server. If the message was the ReadyForQuery of a request, sets *is_end to
 * true, and copies the request's entry to *ended. NoticeResponse, ParameterStatus, NotificationResponse and
 * ErrorResponse may come even if no reply is owed; LEDGER_PASS is then returned. */
enum ledger_verdict ledger_receive(struct ledger *l, uint8_t type, struct owed *ended, bool *is_end);
/* Called when a message of the client has failed, and the client's request will be sent again. If the only entry is the
 * request's Sync, makes pgweir swallow the ReadyForQuery, and returns true. Otherwise returns false. */
bool ledger_swallow_ready(struct ledger *l);
/* Makes pgweir swallow the ParameterDescription of the last entry, which is a DESCRIBE_STATEMENT. */
void ledger_swallow_types(struct ledger *l);
/* Sends the local replies whose turn has come. Called after a message of the server was passed on. */
void ledger_advance(struct ledger *l);

/* Notes that a message is sent *ahead*, while the server still works for another client (policy/policy.h). The
 * message's entry is added later, at the latest by overtaken(). The ledger must not be empty. */
void ledger_begin_ahead(struct ledger *l);
/* Returns true between ledger_begin_ahead() and ledger_end_ahead(). */
static inline bool
ledger_has_ahead(const struct ledger *l)
{
	return l->room < l->cap;
}

/* Returns true if no entry is left, so the server's next message is a reply to the message that was sent ahead. */
static inline bool
ledger_ahead_is_next(const struct ledger *l)
{
	return l->count == 0 && ledger_has_ahead(l);
}

/* Notes that no message is ahead any more. */
static inline void
ledger_end_ahead(struct ledger *l)
{
	l->room = l->cap;
}

/* Adds an entry before the head, for a message that was sent earlier than the head's. The head must have got no reply
 * yet, and no message may be ahead. */
void ledger_enter_first(struct ledger *l, struct owed o);

/* Returns the oldest entry, or NULL if there is none. */
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

/* Returns true if the server's last reply to the message is a ReadyForQuery, which ends the request. */
static inline bool
owed_ends_request(const struct owed *o)
{
	return o->kind == OWED_QUERY || o->kind == OWED_FUNCTION || o->kind == OWED_SYNC;
}

/* Returns true if owed_ends_request() does, and the request is the client's. */
static inline bool
owed_ends_client_request(const struct owed *o)
{
	return o->to == OWED_TO_CLIENT && owed_ends_request(o);
}

/* Does what ledger_enter() does; fast if no error or COPY is under way and the server will answer the message. */
__attribute__((always_inline)) static inline void
ledger_enter_fast(struct ledger *l, struct owed o)
{
	if (l->intake != INTAKE_ALL || l->count >= l->room || o.kind >= OWED_COPY_END)
		ledger_enter(l, o);
	else
		l->ring[(l->head + l->count++) & (l->cap - 1)] = o;
}

/* Adds entries for two consecutive messages of the client. */
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

/* Adds an entry of any kind except QUERY, FUNCTION and SYNC. */
static inline void
ledger_push(struct ledger *l, enum owed_kind kind, enum owed_to to, void *ref)
{
	ledger_enter_fast(l, (struct owed){ .kind = (uint8_t)kind, .to = (uint8_t)to, .ref = ref });
}

/* Adds an entry for a QUERY, FUNCTION or SYNC. */
static inline void
ledger_push_request(struct ledger *l, enum owed_kind kind, enum owed_to to, const struct owed_request *request)
{
	ledger_enter_fast(l, (struct owed){ .kind = (uint8_t)kind,
					    .to = (uint8_t)to,
					    .client_completes_left = request->client_completes,
					    .statements = request->statements,
					    .started_us = request->started_us });
}

/* Returns true if the server may send a DataRow for the client now. This is the fast path of large results. */
static inline bool
ledger_expects_row(const struct ledger *l)
{
	const struct owed *o = ledger_head(l);

	return o != NULL && o->to == OWED_TO_CLIENT && o->phase == 0 &&
	       (o->kind == OWED_QUERY || o->kind == OWED_EXECUTE) && l->copy == COPY_NONE;
}

/* Returns the head's kind if the head is *plain*: it is OWED_TO_CLIENT, its phase and client_completes_left are 0, and
 * no COPY is under way. Otherwise returns a number that is greater than any kind. */
static inline uint32_t
ledger_plain_kind(const struct ledger *l)
{
	const struct owed *o = &l->ring[l->head];

	if (l->count == 0 || l->copy != COPY_NONE)
		return UINT32_MAX;
	/* compiles to one load */
	return o->kind | (uint32_t)o->to << 8 | (uint32_t)o->phase << 16 | (uint32_t)o->client_completes_left << 24;
}

/* Returns true if the server answers the entry after the head, or if there is no such entry. */
static inline bool
ledger_next_is_remote(const struct ledger *l)
{
	return l->no_reply_count == 0 || l->count < 2 || ledger_at(l, 1)->kind < OWED_COPY_END;
}

/* Removes the head, which must be an entry that the server answers. */
static inline void
ledger_drop_head(struct ledger *l)
{
	l->head = (l->head + 1) & (l->cap - 1);
	l->count--;
}

/* If plain_kind is the wanted kind and the next entry needs no ledger_advance(), removes the head as answered, and
 * returns true. Otherwise changes nothing, and returns false. */
__attribute__((always_inline)) static inline bool
ledger_take_head(struct ledger *l, uint32_t plain_kind, enum owed_kind wanted)
{
	struct owed taken;

	if (plain_kind != (uint32_t)wanted || !ledger_next_is_remote(l))
		return false;
	taken = l->ring[l->head]; /* a copy, because settled() may enter a message in this place */
	l->answered++;
	ledger_drop_head(l);
	if (taken.ref != NULL)
		l->ops->settled(l->arg, &taken, OWED_ANSWERED);
	return true;
}

/* Returns true if a message of this type is passed on to the client without any change to the ledger: a row, or the
 * description of a Query's rows. plain_kind is the result of ledger_plain_kind(). */
static inline bool
ledger_may_pass_through(uint32_t plain_kind, uint8_t type)
{
	return plain_kind <= OWED_EXECUTE && (type == 'D' || (type == 'T' && plain_kind == OWED_QUERY));
}

/* Does what ledger_receive() does, in a few instructions, for replies that come with nearly every query:
 * RowDescription, NoData, CommandComplete, ParseComplete and BindComplete. Returns true if the message is for the
 * client. If it returns false, nothing has changed, and the caller must call ledger_receive(). plain_kind is the result
 * of ledger_plain_kind(). */
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

/* Does what ledger_receive() does, in a few instructions, for the ReadyForQuery of a client's request, and returns
 * true. If it returns false, nothing has changed, and the caller must call ledger_receive(). */
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

/* Returns true if the ledger has entries, and the server answers none of them. */
static inline bool
ledger_is_all_local(const struct ledger *l)
{
	return l->no_reply_count > 0 && l->no_reply_count == l->count;
}

/* Returns true if ledger_advance() has anything to do. */
static inline bool
ledger_local_is_due(const struct ledger *l)
{
	return l->count > 0 && l->ring[l->head].kind >= OWED_COPY_END && l->body_left == 0;
}

/* Returns true if a reply is owed to the client. Sets *since_us to the started_us of the client's first request, or to
 * 0 if this request's last message was not sent yet. */
bool ledger_owes_client(const struct ledger *l, uint64_t *since_us);
/* Notes that a Flush is sent, which makes the server answer earlier messages without a Sync. */
void ledger_note_flush(struct ledger *l);
/* Returns true if the server will send a message although pgweir sends nothing more. is_cut is true if a part of the
 * last message is still to be sent. */
bool ledger_is_due(const struct ledger *l, bool is_cut);
/* Returns how many requests of the client were sent as a whole. The number wraps around. */
uint32_t ledger_count_requests_sent(const struct ledger *l);
/* Returns true if the client has an unanswered message that may begin or end a transaction block. */
bool ledger_may_change_block(const struct ledger *l);
/* Returns true if the server will next answer a request of pgweir's own, and sets *since_us to its started_us. */
bool ledger_owes_own_request(const struct ledger *l, uint64_t *since_us);

/* Returns true if the ledger has entries, and all of them are OWED_TO_NOBODY. */
bool ledger_owes_nobody(const struct ledger *l);

/* Writes the kinds of the client's entries in order, but at most cap kinds. Returns how many entries the client has,
 * which may be more than cap. Local entries count, but OWED_COPY_END does not. */
size_t ledger_list_client(const struct ledger *l, uint8_t *kinds, size_t cap);

const char *owed_kind_name(enum owed_kind kind); /* returns a name for the log, such as "Execute" */
