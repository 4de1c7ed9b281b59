/*
 * src/state/state_state.h - what a client's requests leave behind in the session, in transaction mode: suspect cheaply,
 * ask the server, never guess. For the files of this folder alone.
 *
 *   observe.c   scans SQL once (a prepared statement when it is first seen)
 *   notes.c     what that SQL does is either known (an effect, which counts if nothing goes wrong), or suspected (flags
 *               on the server)
 *   commit.c    the transaction is over and nothing is owed: effects change the GUC sets; if anything is suspected, the
 *               server is asked. Then it is given back, or the client is pinned and keeps it
 *   ask.c       sends the probe, behind the client's replies, and acts on its rows
 *   pins.c      why a client keeps its server, shown and counted
 *   reset.c     RESET and DISCARD ALL mean the client's startup values, not the server connection's
 *   linger.c    a client that uses sequences keeps its server for a moment
 *   context.c   which clients may share a prepared statement
 *   compiled.c  what code SQL may reach, and whom a server is tied to by it
 *   state.c     makes, forgets and frees what the others note
 *   audit.h     counts all this by application
 *
 * Owns:    struct client_session: effects that are not settled, names, the scan, the statement that the unnamed portal
 *          runs, the probe's rows, a kept error, a refusal.
 * Borrows: the exchange, its server, and both GUC sets, which it replaces and never changes.
 * Always:  a client that never does any of this has no struct client_session; an effect changes the GUC sets only when
 *          nothing is owed.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "sql/known.h"
#include "seal/probe.h"
#include "sql/scan.h"
#include "wire/frame.h"

#define EFFECTS_MAX 8
#define NAMES_MAX 64
/* SQL of which it can't be told which settings it changes. */
#define SCAN_ANY_SETTING (SCAN_SETTING | SCAN_NAMES_LOST | SCAN_CODE | SCAN_EXECUTE)

enum effect_kind { EFFECT_SET, EFFECT_RESET, EFFECT_RESET_ALL };

/* A change that a statement makes in the GUC set. */
struct effect {
	enum effect_kind kind;
	char *name, *value; /* owned; NULL if it has none */
};

/* DISCARD ALL. Until its ReadyForQuery, reports of settings that get their startup value are hidden, and nothing is
 * sent while a reply is owed. */
enum discard_phase {
	DISCARD_NOT,
	DISCARD_SENT,
	DISCARD_DONE, /* by a statement that was foreseen, or not: its SQL was too long to be read at once */
	DISCARD_SYNCED /* the client goes on without a Sync, so pgweir has sent one: PostgreSQL reports at its end */
};

struct client_session {
	/* noted in the transaction under way, or in several that were pipelined */
	struct effect effects[EFFECTS_MAX];
	unsigned effect_count;
	char **names; /* of custom settings: to be asked for by name; owned */
	unsigned name_count;
	struct gucs *local; /* its own with the search_path of its last SET LOCAL: keeps that context; a reference */
	struct gucs *before; /* the client's GUC set before the first change that was seen; a reference of its own */
	/* SQL that comes in pieces */
	struct scan *scan; /* owned; NULL: there is none */
	bool is_parse_scanned; /* scan is that of a Parse that is sent as it is; set and cleared by begin_pieces() */
	uint32_t passed_flags; /* of such Parses, and of DISCARD in session mode; which of them is run is not known */
	/* the unnamed portal runs this, if that may matter */
	struct statement *bound; /* a reference of its own */
	struct known_text *bound_known; /* owned */
	/* the probe under way */
	unsigned parts; /* enum probe_part; 0: none is under way */
	struct buf rows; /* kind, name and value, each terminated */
	unsigned row_count;
	struct buf prepared; /* names and SQL of what SQL PREPARE made, each terminated: as the last probe tells */
	bool is_probe_late; /* it was cancelled, once; set and cleared by ask.c */
	bool is_probe_lost; /* it failed, or a row was too long: nothing is known; set and cleared by ask.c */
	unsigned unresolved; /* enum probe_part: the probe failed; asked again after the next request */
	uint64_t unresolved_us; /* when the last request before that was done */
	uint8_t discard; /* enum discard_phase */
	/* A RESET may have set startup values of the server's. Set by notes.c, cleared by commit.c and pins.c. */
	bool may_be_reset;
	/* Had an encoding that SQL is not read in, perhaps for what it has prepared. Set by state_note_encoding(),
	 * never cleared. */
	bool is_unread;
	bool is_tainted; /* LOAD: its server can't be cleaned; set by state_suspect(), never cleared */
	/* A setting of a name that pgweir doesn't know stays there. Set by settle_and_ask(), cleared by
	 * state_discarded(). */
	bool is_name_lost;
	struct buf wanted; /* ": " and what has left something of an extension's for it, terminated; empty: nothing */
	uint32_t logged_pins;
	struct fail *refusal; /* the FATAL error that answers its next request; owned */
};

/* state/state.c */
struct client_session *state_own(struct exchange *x); /* made at first use; NULL: no memory */
void state_drop_effects(struct client_session *s);
void state_drop_names(struct client_session *s);
void state_forget_before(struct client_session *s);
/*
 * Sends such a run (state_run) ahead of the client's message, with a Sync of its own: since PostgreSQL 18, all that is
 * executed behind another Execute of its Sync group is in a transaction block. Within a request it is a part of that,
 * as is its error: a Sync would end what the client has begun. Clients that send their Parse, Bind and Execute together
 * meet this only behind an Execute of their own: see state_parse_ahead().
 */
void state_run_ahead(struct exchange *x, const char *sql, void *ref);

/* state/context.c */
/* Returns true if this transaction has made settings, or a probe is under way: no GUC set has them yet, or ever. */
bool state_has_uncommitted_effects(const struct exchange *x);

/* SET LOCAL, or its like, of this setting ("": of any). */
void state_note_local_name(struct exchange *x, const char *name, const char *value);

/* state/compiled.c */
unsigned state_seal_plans(const struct loan *l); /* WASH_PLANS, or 0; its SQL has RISK_CONTEXT */

/* state/notes.c */
void state_audit(struct exchange *x, uint32_t flags);
void state_take_name(struct client_session *s, struct server *srv, const char *name); /* of a custom setting */
/*
 * SQL with these flags is about to run, and its effect is not known. names: the scan that has the names in it, or NULL.
 * Returns FORWARD or FAILED.
 */
enum feature_step state_suspect(struct exchange *x, uint32_t flags, const struct scan *names);
/* EXECUTE of a statement that SQL PREPARE made. */
enum feature_step state_note_execute(struct exchange *x, const char *name);
/* Gives SELECT set_config($1, $2, $3) the values of its Bind. Returns false if this is left to the probe. */
bool state_fill_in(struct known_text *text, const uint8_t *body, size_t len);
/* Returns true if everything in it is known. */
bool state_is_known(const struct exchange *x, const struct known_text *text);
/* SQL of which everything is known is about to run: FORWARD, HOLD or FAILED. */
enum feature_step state_note_all(struct exchange *x, const struct known_text *text);

/* state/reset.c */
/* Returns true if the client's startup packet gives this setting another value than the server connection's own. */
bool state_has_startup(const struct exchange *x, const struct guc *startup);
bool state_has_any_startup(const struct exchange *x);
bool state_resets_startup(const struct exchange *x, const struct known_text *text);
/* Appends to `to`, behind the SQL, statements that restore the client's startup values, and the terminator. */
void state_put_reset(struct exchange *x, const struct known_text *text, struct buf *to);
/* Sends the same behind an Execute, within its request. */
void state_follow_reset(struct exchange *x, const struct known_text *text);
/* Returns the client's GUC set with its startup settings and no others of its own. NULL: no memory. */
struct gucs *state_startup_gucs(const struct exchange *x);

/* Gives the client this GUC set (takes it), and reports what has changed. Returns 0, or -1: no memory (gucs: NULL). */
int state_become(struct exchange *x, struct gucs *gucs);

/* state/linger.c */
/* Between transactions. Returns true if the client keeps its server a little longer. */
bool state_lingers(struct exchange *x);
/* SQL with these flags (of SCAN_FOLLOWABLE) is about to run: it asks for a sequence's value, or such SQL may follow. */
void state_may_be_followed(struct exchange *x, uint32_t flags);
#define SCAN_FOLLOWABLE (SCAN_SEQUENCE | SCAN_NEXTVAL | SCAN_INSERT)
#define SCAN_READS_SEQUENCES (SCAN_SEQUENCES | SCAN_CODE | SCAN_EXECUTE)
/* SQL with these flags (of SCAN_READS_SEQUENCES), which may change or read the backend's memory of sequences, is about
 * to run. */
void state_used_sequence(struct exchange *x, uint32_t flags);

/* state/pins.c */
/* Sets or removes one pin. Returns false if the client has no server any more, or is closed. */
MAY_CLOSE bool state_set_pin(struct exchange *x, enum pin_reason reason, bool is_set);
/* The same for all that hold now; pins: 1 << enum pin_reason. */
MAY_CLOSE bool state_set_pins(struct exchange *x, unsigned pins);

/* state/ask.c */
/* Returns what to ask for (enum probe_part) after SQL with these flags. */
unsigned state_parts_of(const struct exchange *x, uint32_t flags);
int state_ask(struct exchange *x, unsigned parts); /* state_probe_done follows. -1: no memory */
/* Returns the SQL of what SQL PREPARE made under this name on the client's server; NULL: unknown. */
const char *state_prepared_text(const struct exchange *x, const char *name);
