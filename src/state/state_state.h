/*
 * src/state/state_state.h - what a client's requests leave behind in the session, in transaction mode (design: "suspect
 * cheaply, ask the server, never guess"). For the files named session_*.c alone.
 *
 *   texts    each text is scanned once (a prepared one when it is first seen). What its effect is may be known from the
 *            text (an effect, which counts once nothing went wrong), or it is suspected (flags on the server).
 *   settle   when the transaction is over and nothing is owed: effects are taken over into the images; if anything is
 *            suspected the server is asked, by a probe behind the client's answers. Then the server is given back, or
 *            the client keeps it: it is pinned, for a reason that is shown.
 *   reset    RESET and DISCARD ALL mean the client's startup values, not the server connection's.
 *   linger   the connection is kept for a moment where sequences are used.
 *   prepare  statements of SQL PREPARE are made on a server when a text may use them.
 *
 * A client that never does any of this has no struct client_session.
 */
#ifndef PGWEIR_STATE_STATE_STATE_H
#define PGWEIR_STATE_STATE_STATE_H

#include "state/state.h"
#include "sql/known.h"
#include "session/probe.h"
#include "sql/scan.h"
#include "wire/frame.h"

#define EFFECTS_MAX 8
#define NAMES_MAX 64

enum effect_kind {
	EFFECT_SET,
	EFFECT_RESET,
	EFFECT_RESET_ALL,
	EFFECT_PREPARE,
	EFFECT_DEALLOCATE,
	EFFECT_DEALLOCATE_ALL
};

/* What a statement that ran does to the image. */
struct effect {
	enum effect_kind kind;
	char *name, *value; /* owned; NULL if it has none. PREPARE: value is the whole text */
};

struct client_session {
	/* of the transaction under way, or of several that were pipelined */
	struct effect effects[EFFECTS_MAX];
	unsigned effect_count;
	char **names; /* of custom settings: to be asked for by name; owned */
	unsigned name_count;
	struct image *before; /* the client's image when the first of them was noted; a reference of its own */
	/* a text that comes in pieces */
	struct scan *scan; /* owned, while it does */
	bool is_parse_scanned; /* it is a Parse that is passed through */
	uint32_t passed_flags; /* of Parses that were passed through: which of them is run is not known */
	/* the unnamed portal runs this, if that may matter */
	struct statement *bound; /* a reference of its own */
	struct known_text *bound_known; /* owned */
	/* the probe under way */
	unsigned parts; /* enum probe_part; 0: none is under way */
	struct buf rows; /* kind, name and value, each terminated */
	unsigned row_count;
	bool is_probe_lost; /* it failed, or a row was too long: nothing is known */
	unsigned unresolved; /* enum probe_part: asked in vain; asked again after the next request */
	uint64_t unresolved_us; /* when the last request but that was done */
	/* DISCARD ALL */
	bool is_discard_sent; /* and not answered: nothing is sent after it */
	bool is_filtering; /* until its ReadyForQuery: reports of settings that get their startup value are not shown */
	bool is_tainted; /* LOAD: its server can't be cleaned */
	bool is_name_lost; /* set_config() of a name nobody here knows: it stays where it was done */
	struct buf kept_error; /* of a PREPARE of ours: told in place of what the text behind it runs into */
	uint32_t logged_pins;
	struct fail *refusal; /* session_state = error: the answer to its next request, and the last; owned */
};

struct client_session *session_own(struct exchange *x); /* made at first use; NULL: no memory */

/* state/context.c */
/* What is set in this transaction, or asked for and not answered, is in no image yet, or never will be. */
bool session_is_in_flux(const struct exchange *x);

/* state/notes.c */
void session_audit(struct exchange *x, uint32_t flags);
void session_take_name(struct client_session *s, struct server *srv, const char *name); /* of a custom setting */
/* The text is about to run, and what it does is not known: FORWARD or FAILED. */
enum statement_step session_suspect(struct exchange *x, const struct scan *scan);
/* EXECUTE of a statement that SQL PREPARE made. */
enum statement_step session_note_execute(struct exchange *x, const char *name);
/* Is everything in this text known? body: of its Bind, or NULL. */
bool session_is_known(const struct exchange *x, struct known_text *text, const char *sql, size_t len,
		      const uint8_t *body, size_t body_len);
/* Such a text is about to run: FORWARD, HOLD or FAILED. */
enum statement_step session_note_all(struct exchange *x, const struct known_text *text, const char *sql, size_t len);

/* state/reset.c */
/* Is this setting, by the client's startup packet, another one than the server connection's own? */
bool session_has_startup(const struct exchange *x, const struct image_setting *startup);
bool session_has_any_startup(const struct exchange *x);
bool session_resets_startup(const struct exchange *x, const struct known_text *text);
/* Behind the text in to: what gives the client's startup values back; then the terminator. */
void session_put_reset(struct exchange *x, const struct known_text *text, struct buf *to);
/* The same behind an Execute. -1: no memory. */
int session_follow_reset(struct exchange *x, const struct known_text *text);
/* The client's image with its startup settings and no others of its own. NULL: no memory. */
struct image *session_startup_image(const struct exchange *x);

/* The client has these settings now (takes img; NULL: no memory, -1); it is told of reported ones that changed. */
int session_become(struct exchange *x, struct image *img);

/* state/linger.c */
/* Between transactions: it keeps its server a little longer. */
bool session_lingers(struct exchange *x);
/* SQL with these flags is about to run, and may touch or read what the backend remembers of sequences. -1: no memory.
 */
int session_used_sequence(struct exchange *x, uint32_t flags);

/* state/prepare.c */
/* Parse, Bind and Execute of this; the unnamed statement's. */
void session_put_run(struct buf *b, const char *sql);
bool session_is_placeholder(const char *name, const char *text);

/* state/commit.c */
void session_drop_effects(struct client_session *s);
void session_forget_before(struct client_session *s);

/* state/pins.c */
void session_set_pins(struct exchange *x, unsigned pins); /* 1 << enum pin_reason: all that hold now; may close c */

/* state/ask.c */
/* What to ask for (enum probe_part) after texts with these flags. */
unsigned session_parts_of(const struct exchange *x, uint32_t flags);
int session_ask(struct exchange *x, unsigned parts); /* session_probe_done follows. -1: no memory */

#endif
