/*
 * src/state/state_state.h - the session state that a client's requests leave on a server, in transaction mode. pgweir
 * records a *suspicion* for any SQL that may leave such state unseen, and asks the server later which state there is.
 * Only for the files of this folder.
 *
 *   observe.c   scans SQL before it is sent (a prepared statement only once)
 *   notes.c     records what that SQL does: as an *effect* if pgweir knows what it does (an effect counts if the
 *               transaction commits), else as a suspicion (flags in the server's loan)
 *   commit.c    when the transaction has ended and nothing is owed: lets effects change the GUC sets, and asks the
 *               server if there is a suspicion. Then the server is given back, or the client is pinned
 *   ask.c       sends the probe (the query that asks) after the client's replies, and acts on its rows
 *   pins.c      shows and counts the reasons why a client keeps its server
 *   reset.c     makes RESET and DISCARD ALL mean the client's startup values, not the server connection's
 *   linger.c    lets a client that uses sequences keep its server for a moment
 *   context.c   decides which clients may share a prepared statement
 *   compiled.c  finds the database code that SQL may reach, and the client whose plans of that code a server has
 *   state.c     makes, forgets and frees what the other files record
 *   audit.h     counts SQL that may change session state, by application
 *
 * Owns:    struct client_session: effects that are not settled, names, the scan, the statement that the unnamed portal
 *          runs, the probe's rows, a refusal.
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

/* A change that a statement makes in the client's GUC set. */
struct effect {
	enum effect_kind kind;
	char *name, *value; /* owned; NULL if this kind of effect has none */
};

/* The progress of a DISCARD ALL. Until the ReadyForQuery after the DISCARD ALL, ParameterStatus messages for settings
 * that get their startup values are hidden from the client, and nothing is sent while a reply is owed. */
enum discard_phase {
	DISCARD_NOT,
	DISCARD_SENT,
	DISCARD_DONE, /* the DISCARD ALL is completed; follows DISCARD_NOT if the SQL was too long to be read */
	/* the client goes on without a Sync, so pgweir has sent a Sync, which makes PostgreSQL report settings */
	DISCARD_SYNCED
};

struct client_session {
	struct effect effects[EFFECTS_MAX]; /* of the transaction in progress, or of several pipelined ones */
	unsigned effect_count;
	char **names; /* owned: names of custom settings, which the probe must ask for by name */
	unsigned name_count;
	/* a reference, for loan.local_context: the client's GUC set with the search_path of its last SET LOCAL */
	struct gucs *local;
	struct gucs *before; /* a reference: the client's GUC set before the first change of the transaction */
	/* SQL that comes in pieces */
	struct scan *scan; /* owned; NULL if no SQL comes in pieces */
	bool is_parse_scanned; /* `scan` is of a Parse that is sent as it is; set and cleared by begin_pieces() */
	/* the flags of all Parses that were sent as they are, because pgweir can't know which of these Parses a Bind
	 * runs; in session mode, only flags of DISCARD */
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
	/* the parts of a failed probe (as in `parts`); after the next request, another probe asks for them */
	unsigned unresolved;
	uint64_t unresolved_us; /* when the last request before the failed probe ended */
	uint8_t discard; /* enum discard_phase */
	/* A RESET may have set the server's startup values. Set by notes.c, cleared by commit.c and pins.c. */
	bool may_be_reset;
	/* The client has had an encoding in which pgweir can't read SQL (statements may be in it). Set by
	 * state_note_encoding(), never cleared. */
	bool is_unread;
	bool is_tainted; /* after LOAD: the client's server can't be washed; set by state_suspect(), never cleared */
	/* The server has a setting of the client's whose name pgweir doesn't know. Set by settle_and_ask(), cleared by
	 * state_discarded(). */
	bool is_name_lost;
	/* ": " and the cause of PIN_EXTENSION in words, terminated; else empty */
	struct buf extension_cause;
	uint32_t logged_pins;
	struct fail *refusal; /* the FATAL error that answers the client's next request; owned */
};

/* state/state.c */
struct client_session *state_get_or_create(struct exchange *x); /* allocated at first use; NULL without memory */
void state_drop_effects(struct client_session *s);
void state_drop_names(struct client_session *s);
void state_forget_before(struct client_session *s);
/*
 * Sends the messages of state_run() ahead of the client's message, followed by a Sync: without the Sync, since
 * PostgreSQL 18, the client's Execute would be the second one before its Sync, and so run in a transaction block. If
 * the client has begun a request, no Sync is sent, because a Sync would end that request: pgweir's messages and their
 * error are then a part of the request. If a client sends Parse, Bind and Execute together, this happens only after an
 * Execute of the client's: see state_parse_ahead().
 */
void state_run_ahead(struct exchange *x, const char *sql, void *ref);

/* state/context.c */
/* Returns true if settings that are not in the client's GUC set (yet) may be in force: because this transaction has
 * made settings, or because a probe of settings is in progress. */
bool state_has_uncommitted_effects(const struct exchange *x);

/* Records a SET LOCAL, or another change for the transaction, of this setting. name: "" stands for any setting. */
void state_note_local_name(struct exchange *x, const char *name, const char *value);

/* state/compiled.c */
/* Returns WASH_PLANS if the loan, which has run SQL with RISK_CONTEXT, has run it under other settings; else 0. */
unsigned state_seal_plans(const struct loan *l);

/* state/notes.c */
void state_audit(struct exchange *x, uint32_t flags);
void state_take_name(struct client_session *s, struct server *srv, const char *name); /* name: of a custom setting */
/* Records that SQL with these flags, whose effect is unknown, is about to run. names: the scan that has the names of
 * settings in the SQL, or NULL. Returns STEP_FORWARD or STEP_FAILED. */
enum feature_step state_suspect(struct exchange *x, uint32_t flags, const struct scan *names);
/* Records an EXECUTE of a statement that was made by SQL PREPARE. Returns STEP_FORWARD or STEP_FAILED. */
enum feature_step state_note_execute(struct exchange *x, const char *name);
/* Fills the values of a Bind's body into each SELECT set_config($1, $2, $3) of the text. Returns false if that can't be
 * done, so the probe must find the effect. */
bool state_fill_in(struct known_text *text, const uint8_t *body, size_t len);
/* Returns true if pgweir knows the effects of all statements in the text. */
bool state_is_known(const struct exchange *x, const struct known_text *text);
/* Records the effects of a text that is about to run, and is known. Returns STEP_FORWARD, STEP_HOLD or STEP_FAILED. */
enum feature_step state_note_all(struct exchange *x, const struct known_text *text);

/* state/reset.c */
/* Returns true if `startup`, a setting of the client's startup packet, may differ from the server connection's own. */
bool state_has_startup(const struct exchange *x, const struct guc *startup);
bool state_has_any_startup(const struct exchange *x);
bool state_resets_startup(const struct exchange *x, const struct known_text *text);
/* Appends to `to`, which has the text, statements that restore the client's startup values, and the terminator. */
void state_put_reset(struct exchange *x, const struct known_text *text, struct buf *to);
/* Sends the statements of state_put_reset() after an Execute, as a part of the Execute's request. */
void state_follow_reset(struct exchange *x, const struct known_text *text);
/* Returns what the client's GUC set would be if it had made no settings since its login; NULL without memory. */
struct gucs *state_startup_gucs(const struct exchange *x);

/* Gives the client this GUC set, takes over its reference, and reports the changes to the client. Returns 0, or -1
 * without memory (gucs may be NULL). */
int state_become(struct exchange *x, struct gucs *gucs);

/* state/linger.c */
/* Call between transactions: lets the client keep its server a little longer, and returns true; or returns false. */
bool state_start_or_end_lingering(struct exchange *x);
/* Records that SQL with these flags (of SCAN_FOLLOWABLE) is about to run: SQL that asks for a sequence's last value, or
 * after which the client may ask for such a value. */
void state_note_followable(struct exchange *x, uint32_t flags);
#define SCAN_FOLLOWABLE (SCAN_SEQUENCE | SCAN_NEXTVAL | SCAN_INSERT)
#define SCAN_READS_SEQUENCES (SCAN_SEQUENCES | SCAN_CODE | SCAN_EXECUTE)
/* Call when SQL with these flags (of SCAN_READS_SEQUENCES) is about to run, which may change or read the sequence
 * values that the backend remembers. If another client may have left values, sends a DISCARD SEQUENCES ahead. */
void state_used_sequence(struct exchange *x, uint32_t flags);

/* state/pins.c */
/* Sets or removes one pin. Returns false if the client has no server any more, or is closed. */
MAY_CLOSE bool state_set_pin(struct exchange *x, enum pin_reason reason, bool is_set);
/* Like state_set_pin(), for all pins at once. pins: 1 << enum pin_reason for each pin of the client; for PIN_EXTENSION
 * and PIN_ASKED_FOR, the function finds out itself. */
MAY_CLOSE bool state_set_pins(struct exchange *x, unsigned pins);

/* state/ask.c */
/* Returns which parts (enum probe_part) a probe must ask for after SQL with these flags. */
unsigned state_parts_of(const struct exchange *x, uint32_t flags);
int state_ask(struct exchange *x, unsigned parts); /* sends a probe; returns 0, or -1 without memory */
/* Returns the SQL of the statement of this name that SQL PREPARE has made on the client's server; NULL if unknown. */
const char *state_prepared_text(const struct exchange *x, const char *name);
