/*
 * src/state/state_state.h - the session state that a client's requests leave on a server, in transaction mode. pgweir
 * suspects any SQL that may leave some, and then asks the server what there is. Only for the files of this folder.
 *
 *   observe.c   scans SQL once (a prepared statement when it is first seen)
 *   notes.c     records what that SQL does: as an effect if it is known (an effect counts if the transaction commits),
 *               else as a suspicion (flags in the server's loan)
 *   commit.c    runs when the transaction has ended and nothing is owed: effects change the GUC sets; if anything is
 *               suspected, the server is asked. Then the server is given back, or the client is pinned and keeps it
 *   ask.c       sends the probe, when the client has got its replies, and acts on the probe's rows
 *   pins.c      shows and counts the reasons for which a client keeps its server
 *   reset.c     makes RESET and DISCARD ALL mean the client's startup values, not the server connection's
 *   linger.c    lets a client that uses sequences keep its server for a moment
 *   context.c   decides which clients may share a prepared statement
 *   compiled.c  finds the database code that SQL may reach, and the client whose plans of that code a server has
 *   state.c     makes, forgets and frees what the other files record
 *   audit.h     counts SQL that may change session state, by application
 *
 * Owns:    struct client_session: effects that are not settled, names, the scan, the statement that the unnamed
 *          portal runs, the probe's rows, a kept error, a refusal.
 * Borrows: the exchange, its server, and both GUC sets, which it replaces and never changes.
 * Always:  a client whose SQL never leaves any session state has no struct client_session; an effect changes the GUC
 *          sets only when nothing is owed.
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
/* Flags of SQL that may change unknown settings. */
#define SCAN_ANY_SETTING (SCAN_SETTING | SCAN_NAMES_LOST | SCAN_CODE | SCAN_EXECUTE)

enum effect_kind { EFFECT_SET, EFFECT_RESET, EFFECT_RESET_ALL };

/* A change that a statement makes in the GUC set. */
struct effect {
	enum effect_kind kind;
	char *name, *value; /* owned; NULL if the effect has none */
};

/* The progress of a DISCARD ALL. Until its ReadyForQuery, reports of settings that get their startup value are hidden,
 * and nothing is sent while a reply is owed. */
enum discard_phase {
	DISCARD_NOT,
	DISCARD_SENT,
	/* PostgreSQL has completed the DISCARD ALL; DISCARD_DONE follows DISCARD_NOT if the SQL was too long to be
	 * read */
	DISCARD_DONE,
	/* the client goes on without a Sync, so pgweir has sent a Sync, after which PostgreSQL reports settings */
	DISCARD_SYNCED
};

struct client_session {
	/* recorded in the transaction in progress, or in several that were pipelined */
	struct effect effects[EFFECTS_MAX];
	unsigned effect_count;
	char **names; /* owned: names of custom settings, which the probe must ask for by name */
	unsigned name_count;
	/* a reference, for loan.local_context: the client's GUC set, but with the search_path of the client's last SET
	 * LOCAL */
	struct gucs *local;
	struct gucs *before; /* a reference: the client's GUC set before the first change that was seen */
	/* SQL that comes in pieces */
	struct scan *scan; /* owned; NULL if no SQL comes in pieces */
	bool is_parse_scanned; /* `scan` is of a Parse that is sent as it is; set and cleared by begin_pieces() */
	/* flags of all Parses that were sent as they are, because pgweir does not know which of them a Bind runs; in
	 * session mode, the flags of DISCARD */
	uint32_t passed_flags;
	/* the statement that the unnamed portal runs, if its effects must be recorded at the Execute; else NULL */
	struct statement *bound; /* a counted reference */
	struct known_text *bound_known; /* owned */
	/* the probe in progress */
	unsigned parts; /* enum probe_part; 0 if no probe is in progress */
	struct buf rows; /* kind, name and value, each terminated */
	unsigned row_count;
	struct buf prepared; /* names and SQL of the statements of SQL PREPARE, each terminated, as of the last probe */
	bool is_probe_cancelled; /* a cancel was sent for the probe; set and cleared by ask.c */
	bool is_probe_lost; /* the probe failed, or a row was too long, so nothing is known; set and cleared by ask.c */
	/* parts of a failed probe (as in `parts`), which are asked for again after the next request */
	unsigned unresolved;
	uint64_t unresolved_us; /* when the last request before the failed probe was done */
	uint8_t discard; /* enum discard_phase */
	/* A RESET may have set the server's startup values. Set by notes.c, cleared by commit.c and pins.c. */
	bool may_be_reset;
	/* The client had an encoding in which pgweir can't read SQL, perhaps for statements it has prepared. Set by
	 * state_note_encoding(), never cleared. */
	bool is_unread;
	/* the client has run LOAD, after which its server can't be washed; set by state_suspect(), never cleared */
	bool is_tainted;
	/* A setting whose name pgweir doesn't know is left on the server. Set by settle_and_ask(), cleared by
	 * state_discarded(). */
	bool is_name_lost;
	/* ": " and the cause of PIN_EXTENSION in words, terminated; empty if that pin does not hold */
	struct buf extension_cause;
	uint32_t logged_pins;
	struct fail *refusal; /* the FATAL error that answers the client's next request; owned */
};

/* state/state.c */
struct client_session *state_own(struct exchange *x); /* allocated at first use; NULL without memory */
void state_drop_effects(struct client_session *s);
void state_drop_names(struct client_session *s);
void state_forget_before(struct client_session *s);
/*
 * Sends the messages of state_run() ahead of the client's message, with a Sync of their own, because since PostgreSQL
 * 18 everything that is executed after another Execute of its Sync group is in a transaction block. If the client has
 * begun a request, no Sync is sent, because it would end what the client has begun: pgweir's messages and their error
 * are then a part of the request. For clients that send Parse, Bind and Execute together, this happens only after an
 * Execute of their own: see state_parse_ahead().
 */
void state_run_ahead(struct exchange *x, const char *sql, void *ref);

/* state/context.c */
/* Returns true if this transaction has made settings, or a probe of settings is in progress: settings that are not in
 * the client's GUC set (yet) may be in force. */
bool state_has_uncommitted_effects(const struct exchange *x);

/* Records a SET LOCAL, or the like, of this setting ("" stands for any). */
void state_note_local_name(struct exchange *x, const char *name, const char *value);

/* state/compiled.c */
unsigned
state_seal_plans(const struct loan *l); /* for a loan that has run SQL with RISK_CONTEXT: returns WASH_PLANS or 0 */

/* state/notes.c */
void state_audit(struct exchange *x, uint32_t flags);
void state_take_name(struct client_session *s, struct server *srv, const char *name); /* name: of a custom setting */
/* Records that SQL with these flags, whose effect is unknown, is about to run. names: the scan that has the names of
 * settings in the SQL, or NULL. Returns STEP_FORWARD or STEP_FAILED. */
enum feature_step state_suspect(struct exchange *x, uint32_t flags, const struct scan *names);
/* Records an EXECUTE of a statement that was made by SQL PREPARE. Returns as state_suspect() does. */
enum feature_step state_note_execute(struct exchange *x, const char *name);
/* Gives SELECT set_config($1, $2, $3) the values of its Bind. Returns false if the probe must find the effect. */
bool state_fill_in(struct known_text *text, const uint8_t *body, size_t len);
/* Returns true if every statement in the text is known. */
bool state_is_known(const struct exchange *x, const struct known_text *text);
/* Records the effects of SQL, all of it known, that is about to run. Returns STEP_FORWARD, STEP_HOLD or STEP_FAILED. */
enum feature_step state_note_all(struct exchange *x, const struct known_text *text);

/* state/reset.c */
/* Returns true if the client's startup packet gives this setting another value than the server connection's own. */
bool state_has_startup(const struct exchange *x, const struct guc *startup);
bool state_has_any_startup(const struct exchange *x);
bool state_resets_startup(const struct exchange *x, const struct known_text *text);
/* Appends to `to`, after the SQL, statements that restore the client's startup values, and the terminator. */
void state_put_reset(struct exchange *x, const struct known_text *text, struct buf *to);
/* Sends the statements of state_put_reset() after an Execute, within the Execute's request. */
void state_follow_reset(struct exchange *x, const struct known_text *text);
/* Returns what the client's GUC set would be if the client had made no settings since its login; NULL without memory.
 */
struct gucs *state_startup_gucs(const struct exchange *x);

/* Gives the client this GUC set, takes over its reference, and reports the changes to the client. Returns 0, or -1
 * without memory (gucs may be NULL). */
int state_become(struct exchange *x, struct gucs *gucs);

/* state/linger.c */
/* Call between transactions. Returns true if the client keeps its server a little longer. */
bool state_lingers(struct exchange *x);
/* Records that SQL with these flags (of SCAN_FOLLOWABLE) is about to run. Such SQL asks for a sequence's last value, or
 * the client's next SQL may do so. */
void state_note_followable(struct exchange *x, uint32_t flags);
#define SCAN_FOLLOWABLE (SCAN_SEQUENCE | SCAN_NEXTVAL | SCAN_INSERT)
#define SCAN_READS_SEQUENCES (SCAN_SEQUENCES | SCAN_CODE | SCAN_EXECUTE)
/* Records that SQL with these flags (of SCAN_READS_SEQUENCES) is about to run. Such SQL may change or read the values
 * of sequences that the backend remembers. */
void state_used_sequence(struct exchange *x, uint32_t flags);

/* state/pins.c */
/* Sets or removes one pin. Returns false if the client has no server any more, or is closed. */
MAY_CLOSE bool state_set_pin(struct exchange *x, enum pin_reason reason, bool is_set);
/* Like state_set_pin() for all pins that hold now; pins: 1 << enum pin_reason. */
MAY_CLOSE bool state_set_pins(struct exchange *x, unsigned pins);

/* state/ask.c */
/* Returns what to ask for (enum probe_part) after SQL with these flags. */
unsigned state_parts_of(const struct exchange *x, uint32_t flags);
int state_ask(struct exchange *x, unsigned parts); /* state_probe_done() follows; returns -1 without memory */
/* Returns the SQL of the statement that SQL PREPARE has made, by this name, on the client's server; NULL if unknown. */
const char *state_prepared_text(const struct exchange *x, const char *name);
