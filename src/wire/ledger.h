/*
 * src/wire/ledger.h - the replies one server owes, in order, and what is to be done with each.
 *
 * Each message sent to a server that will be answered is entered; each message received must match the head
 * (protocol chapter, "Message Flow"). That makes pipelines, errors in a pipeline (the server skips to Sync), Flush
 * without Sync, COPY and messages of our own right by construction. Pure: no I/O, no clock.
 *
 * Made entries are replies we give ourselves (ParseComplete for a statement that is there already, CloseComplete):
 * they wait for their turn like all others, and are lost, as they would be, when an error before them skips to Sync.
 *
 * Owns:   its ring. Borrows: refs of entries (the ops hear once of each ref what became of it).
 * Always: an entry with a ref is settled exactly once; after ledger_advance no made entry is at the head.
 */
#ifndef PGWEIR_WIRE_LEDGER_H
#define PGWEIR_WIRE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum owed_kind {
	OWED_QUERY, /* ... until ReadyForQuery */
	OWED_FUNCTION, /* FunctionCallResponse, ReadyForQuery */
	OWED_PARSE, /* ParseComplete */
	OWED_DUPLICATE, /* a Parse of a name that is taken: an error, or ParseComplete all the same */
	OWED_BIND, /* BindComplete */
	OWED_DESCRIBE_STATEMENT, /* ParameterDescription, then RowDescription or NoData */
	OWED_DESCRIBE_PORTAL, /* RowDescription or NoData */
	OWED_EXECUTE, /* ... until CommandComplete, EmptyQueryResponse or PortalSuspended */
	OWED_CLOSE, /* CloseComplete */
	OWED_SYNC, /* ReadyForQuery */
	OWED_COPY_END, /* nothing: marks where CopyDone or CopyFail stands among the others */
	OWED_MADE_PARSE, /* we say ParseComplete */
	OWED_MADE_CLOSE /* we say CloseComplete */
};

/* Whose message it was: the client's replies are passed on, all others swallowed. */
enum owed_to {
	OWED_TO_CLIENT,
	OWED_TO_STATEMENT, /* a Parse or Close injected for a prepared statement: its error is the client's */
	OWED_TO_IMAGE, /* the client's settings replayed */
	OWED_TO_PROBE, /* what session state is there */
	OWED_TO_PREPARE, /* a SQL PREPARE of the client's, made again; its error may be told later */
	OWED_TO_LOOK, /* a client's statements under its own names, for it to look at; errors do not matter */
	OWED_TO_PING,
	OWED_TO_RESET, /* ROLLBACK, DISCARD ALL, the seal: after the client has gone */
	OWED_TO_OWNER /* a question of the pool's; errors do not matter */
};

struct owed {
	uint8_t kind; /* enum owed_kind */
	uint8_t to; /* enum owed_to */
	uint8_t phase; /* QUERY: 1: what follows is not for the client; DESCRIBE_STATEMENT: 1: ParameterDescription
			* came, 2: it will be swallowed */
	uint8_t shown; /* QUERY: so many CommandCompletes more are the client's; 0: all */
	uint32_t statements; /* of a request, for its owner: how many it consisted of */
	union {
		void *ref; /* the owner's, or NULL */
		uint64_t started_us; /* QUERY, FUNCTION, SYNC: when the request's first byte was read */
	};
};

enum owed_end {
	OWED_ANSWERED, /* its reply came (or was made) */
	OWED_FAILED, /* the error was its own */
	OWED_SKIPPED /* an earlier error skipped it, or the connection ended */
};

struct ledger_ops {
	/* Each entry with a ref, once. */
	void (*settled)(void *arg, const struct owed *o, enum owed_end how);
	/* A made entry's turn has come: its reply goes to the client now (settled follows). */
	void (*made)(void *arg, const struct owed *o);
};

enum ledger_copy { COPY_NONE, COPY_IN, COPY_OUT, COPY_BOTH };

struct ledger {
	struct owed *ring;
	uint32_t cap, head, count; /* cap: 0 or a power of two */
	enum ledger_copy copy; /* of the head */
	bool is_copy_open; /* COPY IN: no CopyDone or CopyFail was sent yet */
	bool is_replication; /* CopyBothResponse may come; results may follow upon CopyDone */
	bool is_skipping; /* an error came, the Sync that ends skipping was not sent yet */
	bool is_doubtful; /* a Sync was sent within a COPY that failed: nobody can know who owes what */
	uint32_t copy_syncs; /* Syncs that were sent within the open COPY and ignored by the server */
	uint32_t requests_gone; /* of the client's: done, skipped, or Syncs that a COPY has ignored */
	uint32_t answered; /* messages of the client's since the last ReadyForQuery; made ones do not count */
	const struct ledger_ops *ops;
	void *arg;
};

enum ledger_verdict {
	LEDGER_PASS, /* for the client */
	LEDGER_SWALLOW, /* ours */
	LEDGER_VIOLATION /* not owed: the server cannot be trusted any more */
};

#define LEDGER_MAX 262144u /* entries; a caller stops reading its client long before */

void ledger_init(struct ledger *l, const struct ledger_ops *ops, void *arg);
void ledger_fini(struct ledger *l); /* settles what is left as skipped; l may be used again */
/* 0; -1: no memory or over LEDGER_MAX (nothing entered; the message must not be sent). */
int ledger_push(struct ledger *l, enum owed_kind kind, enum owed_to to, void *ref);
/* The Parse, Bind and Execute of one statement of ours; ref is the Execute's. -1: ref is still the caller's. */
int ledger_push_run(struct ledger *l, enum owed_to to, void *ref);
/* A QUERY, FUNCTION or SYNC. */
struct owed_request {
	uint64_t started_us;
	uint32_t statements;
	uint8_t shown; /* a QUERY to which we added: the client is shown this many CommandCompletes; 0: all */
};
int ledger_push_request(struct ledger *l, enum owed_kind kind, enum owed_to to, const struct owed_request *request);

/*
 * A message of this type has come from the server. ended: when it was the ReadyForQuery of a request, its entry; else
 * its kind is left alone. is_end (may not be NULL) says which. NoticeResponse, ParameterStatus and
 * NotificationResponse may come at any time, also with nothing owed (then PASS).
 */
enum ledger_verdict ledger_receive(struct ledger *l, uint8_t type, struct owed *ended, bool *is_end);
/*
 * Of all that was sent only the Sync behind a failed message of the client's is still unanswered: its ReadyForQuery is
 * ours from now on, for the client's request will be sent once more. False: it is not so, nothing has changed.
 */
bool ledger_take_sync(struct ledger *l);
/* The DESCRIBE_STATEMENT that was entered last is sent once more: the client has its ParameterDescription already. */
void ledger_swallow_types(struct ledger *l);
/* After the message that was received is on its way: gives the made replies whose turn has come. */
void ledger_advance(struct ledger *l);

static inline const struct owed *
ledger_head(const struct ledger *l)
{
	return l->count > 0 ? &l->ring[l->head] : NULL;
}

/* True if a DataRow for the client may come now: the fast path of large results. */
static inline bool
ledger_expects_row(const struct ledger *l)
{
	const struct owed *o = ledger_head(l);

	return o != NULL && o->to == OWED_TO_CLIENT && o->phase == 0 &&
	       (o->kind == OWED_QUERY || o->kind == OWED_EXECUTE) && l->copy == COPY_NONE;
}

/*
 * The replies that nobody but the client waits for, in a few instructions: BindComplete, and what describes the
 * portal. True: it was owed, and is the client's; no reply of ours is due. False: ledger_receive() has to see it.
 */
static inline bool
ledger_take_plain(struct ledger *l, uint8_t type)
{
	const struct owed *o;

	if (l->count < 2)
		return false;
	o = &l->ring[l->head];
	if (o->to != OWED_TO_CLIENT || o->ref != NULL)
		return false;
	if (o->kind == OWED_BIND ? type != '2' : o->kind != OWED_DESCRIBE_PORTAL || (type != 'T' && type != 'n'))
		return false;
	if (l->ring[(l->head + 1) & (l->cap - 1)].kind >= OWED_COPY_END)
		return false;
	l->head = (l->head + 1) & (l->cap - 1);
	l->count--;
	l->answered++;
	return true;
}

static inline bool
ledger_is_our_turn(const struct ledger *l)
{
	return l->count > 0 && l->ring[l->head].kind >= OWED_COPY_END;
}

/*
 * Is anything owed to the client? since_us: when the first byte of the request was read that is answered next; 0: its
 * end was not sent yet.
 */
bool ledger_owes_client(const struct ledger *l, uint64_t *since_us);
/* Is a request of our own, with a Sync of its own, answered next? since_us: when it was sent. */
bool ledger_owes_us(const struct ledger *l, uint64_t *since_us);

const char *owed_kind_name(enum owed_kind kind); /* for the log: "Execute" */

#endif
