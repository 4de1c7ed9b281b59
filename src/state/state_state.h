/*
 * src/state/state_state.h - the session state that a client's requests leave on a server, in transaction mode. If SQL
 * may leave such state without showing it, pgweir records a *suspicion*, and later asks the server for its state.
 * Only the files of this folder include this file.
 *
 *   observe.c   scans SQL before it is sent (a prepared statement only once)
 *   notes.c     records what that SQL does: as an *effect* if pgweir knows what the SQL does (an effect counts if the
 *               transaction commits), else as a suspicion (flags in the server's loan)
 *   commit.c    when the transaction has ended and nothing is owed: applies the effects to the GUC sets; if there is a
 *               suspicion, asks the server; then the server is given back, or the client is pinned
 *   ask.c       sends the probe (the query that asks) after the client's replies, and acts on its rows
 *   pins.c      sets, counts and shows the reasons why a client keeps its server
 *   reset.c     makes RESET and DISCARD ALL mean the client's startup values, not the server connection's
 *   linger.c    lets a client that uses sequences keep its server for a moment
 *   context.c   decides which clients may share a prepared statement
 *   compiled.c  finds the database code that SQL may reach, and the client whose plans of that code a server has
 *   state.c     makes, forgets and frees what the other files record
 *   audit.h     counts SQL that may change session state, by application
 *
 * Owns:    struct client_session, and what its members own.
 * Borrows: the exchange, its server, and both GUC sets, which it replaces and never changes.
 * Always:  a client whose SQL never leaves any session state has no struct client_session. An effect changes the GUC
 *          sets only when nothing is owed.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "sql/known.h"
#include "seal/probe.h"
#include "sql/scan.h"
#include "wire/frame.h"

#define EFFECTS_MAX 8 /* the most effects that are recorded; if there are more, a probe is sent */
#define NAMES_MAX 64 /* the most names in client_session.names */
/* Flags of SQL that may change settings whose names are unknown. */
#define SCAN_ANY_SETTING (SCAN_SETTING | SCAN_NAMES_LOST | SCAN_CODE | SCAN_EXECUTE)

enum effect_kind { EFFECT_SET, EFFECT_RESET, EFFECT_RESET_ALL };

/* A change that a statement makes in the client's GUC set. */
struct effect {
	enum effect_kind kind;
	char *name, *value; /* owned; NULL if the kind of effect has no name or value */
};

/* The progress of a DISCARD ALL. Until the ReadyForQuery after the DISCARD ALL, ParameterStatus messages for settings
 * that get their startup values are hidden from the client, and messages wait until all replies have come. */
enum discard_phase {
	DISCARD_NOT,
	DISCARD_SENT,
	DISCARD_DONE, /* the DISCARD ALL is completed; may follow DISCARD_NOT, if the SQL was too long to be read */
	/* the client went on without a Sync, so pgweir has sent a Sync, which makes PostgreSQL report settings */
	DISCARD_SYNCED
};

struct client_session {
	struct effect effects[EFFECTS_MAX]; /* of the transaction in progress, or of several pipelined transactions */
	unsigned effect_count;
	char **names; /* owned: names of custom settings, which the probe must ask for by name */
	unsigned name_count;
	/* a reference, for loan.local_context: the client's GUC set, but with the search_path of its last SET LOCAL */
	struct gucs *local;
	struct gucs *before; /* a reference to the client's GUC set before the transaction's first change; or NULL */
	struct scan *scan; /* the scan of SQL that is coming in pieces, owned; NULL if there is no such SQL */
	bool is_parse_scanned; /* `scan` belongs to a Parse that is sent as it is; set and cleared by begin_pieces() */
	/* the flags of all Parses that were sent as they are, because pgweir can't know which of these Parses a Bind
	 * runs; in session mode, only flags of DISCARD */
	uint32_t passed_flags;
	/* the statement that the unnamed portal runs, if the Execute must record effects; a reference, or NULL */
	struct statement *bound;
	struct known_text *bound_known; /* the known statements in the SQL of `bound`; owned; NULL without `bound` */
	unsigned parts; /* enum state_part: what the probe in progress asks for; 0 if no probe is in progress */
	struct buf rows; /* the probe's rows so far: kind, then name and value, each terminated */
	unsigned row_count;
	struct buf prepared; /* names and SQL of the statements of SQL PREPARE at the last probe, each terminated */
	bool is_probe_cancelled; /* a cancel was sent for the probe; set and cleared by ask.c */
	bool is_probe_lost; /* the probe failed, or a row was too long, so nothing is known; set and cleared by ask.c */
	/* the parts that failed probes have asked for; after the next request, another probe asks for these */
	unsigned unresolved;
	uint64_t unresolved_us; /* when the request ended after which settle_and_ask() was last called */
	uint8_t discard; /* enum discard_phase */
	/* A RESET may have brought back the server's own defaults. Set by notes.c, cleared by commit.c and pins.c. */
	bool may_be_reset;
	/* The client has had an encoding in which pgweir can't read SQL, so its statements may be in that encoding. Set
	 * by state_note_encoding(), never cleared. */
	bool is_unscannable;
	bool is_tainted; /* after LOAD: the client's server can't be washed; set by state_suspect(), never cleared */
	/* the server has a setting of the client's, of unknown name; set by commit.c, cleared by reset.c */
	bool is_name_lost;
	struct buf extension_cause; /* for PIN_EXTENSION: ": " and the reason in words, terminated; else empty */
	uint32_t logged_pins; /* 1 << enum pin_reason, for each pin that was logged for this client */
	struct fail *refusal; /* the FATAL error that answers the client's next request; owned */
};

/* state/state.c */
struct client_session *client_session_get_or_create(struct exchange *x); /* NULL if there is no memory */
void state_drop_effects(struct client_session *s);
void state_drop_names(struct client_session *s);
void state_forget_old_gucs(struct client_session *s);
/*
 * Sends the messages of state_put_sql() ahead of the client's message. If the client has not begun a request, a Sync
 * follows. Without the Sync, PostgreSQL 18 and later would run the client's Execute in a transaction block, as the
 * second Execute before a Sync. If the client has begun a request, no Sync is sent, because that would end the request.
 * pgweir's messages, and their errors, are then a part of the request; state_discard_before_parse() makes this rare.
 */
void state_run_ahead(struct exchange *x, const char *sql, void *ref);

/* state/commit.c */
/* Notes that a setting has left, in the session of srv, something that nothing resets. When the client returns srv, srv
 * is closed for this reason, and no code of the database is blamed. */
void state_note_left_by_setting(struct server *srv);

/* state/context.c */
/* Returns true if settings may be in force that the client's GUC set does not have yet, because this transaction may
 * have made settings, or a probe of settings is in progress. */
bool state_has_uncommitted_effects(const struct exchange *x);

/* Records a SET LOCAL, or another change that lasts for the transaction. name: "" if any setting may be changed. */
void state_note_local_name(struct exchange *x, const char *name, const char *value);

/* state/compiled.c */
/* Returns WASH_PLANS if the loan may have made plans under other settings than the client's GUC set; else 0. */
unsigned state_plans_to_wash(const struct loan *l);

/* state/notes.c */
void state_audit(struct exchange *x, uint32_t flags); /* with session_state = warn, counts SQL with these flags */
void state_note_setting_name(struct client_session *s, struct server *srv,
			     const char *name); /* name: a custom setting's */
/* Records a suspicion: SQL with these flags, whose effect is unknown, is about to run. scan: the scan with the names of
 * settings in the SQL, or NULL. Returns STEP_FORWARD or STEP_FAILED. */
enum feature_step state_suspect(struct exchange *x, uint32_t flags, const struct scan *scan);
/* Records an EXECUTE of a statement that SQL PREPARE has made. Returns STEP_FORWARD or STEP_FAILED. */
enum feature_step state_note_execute(struct exchange *x, const char *name);
/* Fills the values in a Bind's body into each SELECT set_config($1, $2, $3) of the text. Returns false if that fails; a
 * probe must then find out the effect. */
bool state_fill_in(struct known_text *text, const uint8_t *body, size_t len);
/* Returns true if pgweir knows the effects of all statements in the text, in x's session. */
bool state_is_known(const struct exchange *x, const struct known_text *text);
/* Records the effects of a known text that is about to run. Returns STEP_FORWARD, STEP_HOLD or STEP_FAILED. */
enum feature_step state_note_all(struct exchange *x, const struct known_text *text);

/* state/reset.c */
/* Returns true if `startup`, a setting of the client's startup packet, may differ from the server's own value. */
bool state_has_startup(const struct exchange *x, const struct guc *startup);
bool state_has_any_startup(const struct exchange *x); /* returns true if state_has_startup() does for any setting */
/* Returns true if the text resets a setting of the startup packet, so the client's startup value must be restored. */
bool state_resets_startup(const struct exchange *x, const struct known_text *text);
/* Appends to `to`, which has the SQL of the text, statements that restore startup values, and a terminator. */
void state_put_reset(struct exchange *x, const struct known_text *text, struct buf *to);
/* Sends the statements of state_put_reset() after an Execute, as a part of the Execute's request. */
void state_follow_reset(struct exchange *x, const struct known_text *text);
/* Returns the GUC set that the client would have without any SET since its login; NULL if there is no memory. */
struct gucs *state_startup_gucs(const struct exchange *x);

/* Gives the client this GUC set, takes over the reference `gucs`, and reports the changes to the client. Returns 0, or
 * -1 if gucs is NULL or there is no memory. */
int state_set_client_gucs(struct exchange *x, struct gucs *gucs);

/* state/linger.c */
/* Call between transactions. Returns true if the client may keep its server a little longer. */
bool state_start_or_end_lingering(struct exchange *x);
/* Call before SQL that asks for a sequence's last value, or after which the client may ask for such a value. flags: the
 * flags of SCAN_SEQUENCE_USES that the SQL has. */
void state_note_sequence_use(struct exchange *x, uint32_t flags);
#define SCAN_SEQUENCE_USES (SCAN_CURRVAL | SCAN_NEXTVAL | SCAN_INSERT)
#define SCAN_READS_SEQUENCES (SCAN_SEQUENCES | SCAN_CODE | SCAN_EXECUTE)
/* Call before SQL that may change or read the backend's sequence values. flags: the flags of SCAN_READS_SEQUENCES that
 * the SQL has. If another client may have left such values, sends a DISCARD SEQUENCES ahead of the SQL. */
void state_prepare_sequence_use(struct exchange *x, uint32_t flags);

/* state/pins.c */
/* Sets or removes one pin. Returns false if the client has no server any more, or is closed. */
MAY_CLOSE bool state_set_pin(struct exchange *x, enum pin_reason reason, bool is_set);
/* Sets or removes all pins at once, and returns what state_set_pin() does. pins: 1 << enum pin_reason for each pin; the
 * bits of PIN_EXTENSION and PIN_ASKED_FOR are ignored, because the function finds these pins itself. */
MAY_CLOSE bool state_set_pins(struct exchange *x, unsigned pins);

/* state/ask.c */
/* Returns the parts (enum state_part) that a probe must ask for after SQL with these flags. */
unsigned state_parts_of(const struct exchange *x, uint32_t flags);
int state_ask(struct exchange *x, unsigned parts); /* sends a probe; returns 0, or -1 if there is no memory */
/* Returns the SQL of the statement of this name that SQL PREPARE has made on the client's server; NULL if unknown. */
const char *state_prepared_text(const struct exchange *x, const char *name);
