/*
 * src/state/commit.c - the end of a transaction: what has become of the session; see state/state_state.h.
 *
 * Settings that SQL is known to have changed (effects) count as changed if nothing has failed and nothing was rolled
 * back since they were recorded. About all state that SQL may have changed (loan.suspected), pgweir asks the server
 * (ask.c). State that can't be moved pins the client to its server until a probe shows that the state has gone.
 */
#include "state/state.h"
#include "state/state_state.h"
#include "state/compiled.h"
#include "server/server.h"
#include "session/gucs_effects.h"

#include <string.h>
#include <strings.h>

__attribute__((noinline)) int
state_send_client_gucs(struct exchange *x)
{
	struct server *srv = x->srv;
	/* PostgreSQL has refused these settings before. So they are sent alone if possible: the client's messages wait
	 * for the answer, so PostgreSQL need not end the session when it refuses the settings again. */
	bool is_alone = x->gucs == x->pool->refused && srv->tx == 'I' && srv->loan.standby == 0 && !x->has_sent_gucs;
	struct buf b = { 0 };

	server_put_gucs(srv, x->gucs, NULL, srv->tx == 'I' && !is_alone, &b);
	if (b.len > 0 && srv->tx == 'I' && (is_alone || gucs_has_limit_not_in(srv->gucs, x->gucs)))
		srv->loan.held_behind_ours = is_alone ? ALL_BEHIND_REFUSED_SETTINGS : ALL_BEHIND_SETTINGS;
	outbox_put(&x->env->to_server, &b);
	if (srv->loan.held_behind_ours == ALL_BEHIND_REFUSED_SETTINGS)
		return 0;
	return gucs_move(&srv->gucs, gucs_ref(x->gucs));
}

bool
state_is_dirty(const struct exchange *x, const struct server *srv)
{
	const struct client_session *s = x->session;

	return x->pins != 0 || (srv->loan.suspected & SCAN_PROBED) != 0 ||
	       (s != NULL && (s->effect_count > 0 || s->parts != 0));
}

bool
state_is_tainted(const struct exchange *x)
{
	return x->session != NULL && x->session->is_tainted;
}

void
state_note_left_by_setting(struct server *srv)
{
	srv->loan.risk |= STATE_BACKEND;
	if (srv->loan.blame == BLAME_NOBODY)
		srv->loan.blame = BLAME_OTHERS;
}

/* If temp_buffers is set, and SQL may have used a temporary table, the session keeps this temp_buffers until it
 * ends. */
static inline void
note_temp_buffers(struct exchange *x)
{
	const struct loan *l = &x->srv->loan;

	if ((gucs_side_effects(x->gucs) & GUCS_LEAVES_BUFFERS) != 0 &&
	    (seal_parts(l->settled_flags | l->suspected, state_risk_of_loan(x)) & STATE_TEMP) != 0)
		state_note_left_by_setting(x->srv);
}

__attribute__((always_inline)) inline unsigned
state_parts_to_wash(struct exchange *x)
{
	const struct loan *l = &x->srv->loan;
	unsigned parts;

	if (!exchange_is_followed(x) || x->gucs == NULL) /* gucs is NULL before the client's login */
		return l->risk & WASH_LATE_TIMEOUT;
	note_temp_buffers(x);
	parts = seal_parts(l->settled_flags | l->suspected, state_risk_of_loan(x)) | seal_parts_of_gucs(x->gucs);
	if (x->settings->session_state == SESSION_ISOLATE || (x->session != NULL && x->session->is_unscannable))
		parts |= STATE_WASHABLE;
	if ((l->risk & RISK_CONTEXT) != 0)
		parts |= state_plans_to_wash(l);
	if ((parts & ~(unsigned)WASH_LATE_TIMEOUT) != STATE_SEED)
		return parts;
	x->srv->random_known_to =
	    x->waiter.id; /* the same client needs no wash of its own seed if it borrows the server again */
	return parts & WASH_LATE_TIMEOUT;
}

void
state_note_encoding(struct exchange *x, const char *encoding)
{
	struct client_session *s;

	if (guc_encoding_is_scannable(encoding))
		return;
	if ((s = client_session_get_or_create(x)) == NULL)
		exchange_break_later(x);
	else
		s->is_unscannable = true;
}

/* If effects were recorded, or values are not ASCII, makes a probe ask for the settings, because values in the old
 * encoding can't be relied on. */
void
state_note_encoding_change(struct exchange *x, const char *encoding)
{
	const char *before = gucs_get(x->gucs, "client_encoding");
	bool has_effects = x->session != NULL && x->session->effect_count > 0;

	state_note_encoding(x, encoding);
	if (before != NULL)
		state_note_encoding(x, before);
	if (exchange_is_followed(x) && (has_effects || !gucs_is_ascii(x->gucs)))
		x->srv->loan.suspected |= SCAN_SETTING;
}

/* --- effects --- */

static int
apply_one(struct exchange *x, struct gucs **gucs, const struct effect *e)
{
	const char *startup;

	switch (e->kind) {
	case EFFECT_SET:
		return gucs_update(gucs, e->name, e->value, GUC_OTHER);
	case EFFECT_RESET:
		startup = gucs_get(x->startup, e->name); /* state/reset.c has set the startup value on the server */
		/* For PostgreSQL a custom setting exists even after its RESET. */
		return gucs_update(gucs, e->name, startup == NULL && strchr(e->name, '.') != NULL ? GUC_RESET : startup,
				   GUC_OTHER);
	case EFFECT_RESET_ALL:
		for (size_t i = gucs_count(*gucs); i-- > 0;) {
			const struct guc *s = gucs_at(*gucs, i);
			struct effect each = { EFFECT_RESET, (char *)(uintptr_t)s->name, NULL };
			struct gucs *kept = gucs_ref(*gucs);
			int r = s->kind != GUC_OTHER || guc_is_identity(s) ? 0 : apply_one(x, gucs, &each);

			gucs_unref(kept);
			if (r < 0)
				return -1;
		}
		return 0;
	}
	return 0;
}

/* Returns 0, or -1 if the GUC set would be too large or memory has run out; then a probe must ask for the settings. */
static int
apply_effects(struct exchange *x, struct gucs **slot)
{
	struct gucs *gucs = gucs_ref(*slot);
	int r = 0;

	for (unsigned i = 0; i < x->session->effect_count && r == 0; i++)
		r = apply_one(x, &gucs, &x->session->effects[i]);
	if (r == 0)
		return gucs_move(slot, gucs);
	gucs_unref(gucs);
	return -1;
}

/*
 * Returns true if the recorded effects might give other settings when they are replayed on another server, or if only a
 * probe can remove PIN_SESSION_SET. While the client acts as another role, it may have made settings that the user that
 * logged in could not make there; and the value of default_text_search_config depends on the search_path at the SET.
 */
static bool
must_ask(const struct exchange *x)
{
	const struct client_session *s = x->session;
	bool is_other_user = x->srv->loan.local == LOCAL_CONTEXT || gucs_get(x->gucs, "role") != NULL ||
			     gucs_get(x->gucs, "session_authorization") != NULL;
	bool is_doubtful = false;

	for (unsigned i = 0; i < s->effect_count; i++) {
		const char *name = s->effects[i].name;

		if (name == NULL)
			continue;
		if (s->effects[i].kind == EFFECT_SET && strcasecmp(name, "default_text_search_config") == 0)
			return true;
		is_other_user =
		    is_other_user || strcasecmp(name, "role") == 0 || strcasecmp(name, "session_authorization") == 0;
		is_doubtful = is_doubtful || (!guc_may_be_set_by_anybody(name) && strchr(name, '.') == NULL);
	}
	return (is_other_user && is_doubtful) || (x->pins & 1u << PIN_SESSION_SET) != 0;
}

/* --- the end of a transaction --- */

static inline bool
linger_if_needed(struct exchange *x)
{
	return (x->srv->loan.followed.by != FOLLOWED_BY_NOTHING || x->srv->is_lingering) &&
	       state_start_or_end_lingering(x);
}

/* Applies known effects, and asks the server about the rest. Returns true if the server may be given back now. */
__attribute__((noinline)) static bool
settle_and_ask(struct exchange *x)
{
	struct server *srv = x->srv;
	struct client_session *s = x->session;
	uint32_t flags = srv->loan.suspected;
	unsigned parts;

	if (s == NULL && (s = client_session_get_or_create(x)) == NULL) {
		exchange_out_of_memory(x);
		return false;
	}
	note_temp_buffers(x); /* before the effects are applied, because RESET ALL may be among them */
	if (s->effect_count > 0) {
		if (srv->loan.undone != UNDONE_NOTHING || (flags & SCAN_SETTING) || must_ask(x) ||
		    apply_effects(x, &x->gucs) < 0 || apply_effects(x, &srv->gucs) < 0)
			flags |= SCAN_SETTING;
		state_drop_effects(s);
		if (x->settings->session_state == SESSION_PIN)
			flags |= SCAN_SETTING;
	}
	s->is_name_lost = s->is_name_lost || (flags & (SCAN_NAMES_LOST | SCAN_NAME_BOUND));
	parts = state_parts_of(x, flags);
	if (s->unresolved != 0 && srv->loan.last_done_us != s->unresolved_us)
		parts |= s->unresolved;
	s->unresolved_us = srv->loan.last_done_us;
	srv->loan.settled_flags |= flags;
	srv->loan.suspected = 0;
	s->may_be_reset = false;
	if ((srv->loan.risk & RISK_UNDOES) != 0 && srv->loan.undone == UNDONE_NOTHING)
		buf_fini(&s->extension_cause);
	srv->loan.risk &= ~(uint32_t)RISK_UNDOES;
	srv->loan.undone = UNDONE_NOTHING;
	if (parts == 0) {
		if (s->unresolved == 0) /* an unresolved probe is repeated, and needs these names */
			state_drop_names(s);
		state_forget_old_gucs(s);
		if (!state_set_pins(x, x->pins | (unsigned)(s->is_tainted || s->is_name_lost) << PIN_SESSION_SET))
			return false;
		return x->pins == 0 && !linger_if_needed(x);
	}
	if (state_ask(x, parts) < 0)
		exchange_out_of_memory(x);
	return false;
}

void
state_forget_old_gucs_if_clean(struct exchange *x)
{
	if (x->session != NULL && x->session->effect_count == 0 && x->session->parts == 0 &&
	    x->srv->loan.suspected == 0)
		state_forget_old_gucs(x->session);
}

bool
state_settle(struct exchange *x, bool has_long_statement)
{
	const struct client_session *s;

	if (x->is_session)
		return true;
	if (has_long_statement != ((x->pins & 1u << PIN_LONG_STATEMENT) != 0) &&
	    !state_set_pin(x, PIN_LONG_STATEMENT, has_long_statement))
		return false;
	/* A probe would overwrite the client's unnamed statement. So no probe is sent, the client keeps its server, and
	 * effects and suspicions stay recorded. */
	if (x->srv->loan.must_keep_unnamed)
		return false;
	s = x->session;
	if (x->srv->loan.suspected == 0 && x->pins == 0 && (s == NULL || s->effect_count == 0) &&
	    !state_asks_for_pin(x))
		return !linger_if_needed(x);
	return settle_and_ask(x);
}
