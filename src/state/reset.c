/*
 * src/state/reset.c - RESET, SET ... TO DEFAULT and DISCARD ALL mean the client's startup values; see
 * state/state_state.h.
 *
 * PostgreSQL resets to the values that the server connection began with, which are not the client's. So the client's
 * values are set again right after the reset: in the same simple Query (the results of the added SQL are hidden), or
 * after the same Execute. DISCARD ALL must be alone in its Query, so after it the client's values are set before the
 * client's next message. That message waits for the end of the DISCARD's request, because only then PostgreSQL reports
 * everything that it has reset. ParameterStatus messages in between are hidden.
 */
#include "state/state.h"
#include "state/state_state.h"
#include "wire/messages.h"

#include <string.h>
#include <strings.h>

bool
state_has_startup(const struct exchange *x, const struct guc *startup)
{
	const char *own;

	if (startup->kind == GUC_OTHER)
		return true;
	own = x->pool->baseline == NULL ? NULL : gucs_get(x->pool->baseline, startup->name);
	return startup->kind == GUC_REPORTED && (own == NULL || strcmp(own, startup->value) != 0);
}

bool
state_has_any_startup(const struct exchange *x)
{
	for (size_t i = 0; i < gucs_count(x->startup); i++)
		if (state_has_startup(x, gucs_at(x->startup, i)))
			return true;
	return false;
}

static bool
is_reset_by(const struct known_statement *k, const struct guc *s)
{
	return (k->kind == KNOWN_RESET_ALL && !guc_is_identity(s)) ||
	       (k->kind == KNOWN_RESET && strcasecmp(k->name, s->name) == 0);
}

static bool
is_set_by(const struct known_statement *k, const struct guc *s)
{
	return (k->kind == KNOWN_SET && strcasecmp(k->name, s->name) == 0) ||
	       (k->kind == KNOWN_RESET_USER && strcmp(s->name, "role") == 0);
}

/* Returns true if s must get its startup value, because the text resets s and does not set s again afterwards. */
static bool
must_restore(const struct exchange *x, const struct known_text *text, const struct guc *s)
{
	bool is_reset = false;

	for (unsigned i = 0; i < text->count; i++)
		is_reset = is_reset_by(&text->statements[i], s) || (is_reset && !is_set_by(&text->statements[i], s));
	return is_reset && state_has_startup(x, s);
}

bool
state_resets_startup(const struct exchange *x, const struct known_text *text)
{
	for (size_t i = 0; i < gucs_count(x->startup); i++)
		if (must_restore(x, text, gucs_at(x->startup, i)))
			return true;
	return false;
}

/* Appends an escape string (E'...'), which PostgreSQL reads in the same way with either value of
 * standard_conforming_strings. */
static void
put_literal(struct buf *to, const char *value)
{
	buf_put(to, "E'", 2);
	for (; *value != '\0'; value++) {
		if (*value == '\'' || *value == '\\')
			buf_put_u8(to, (uint8_t)*value);
		buf_put_u8(to, (uint8_t)*value);
	}
	buf_put_u8(to, '\'');
}

/* Appends a SET if possible, because SET takes no snapshot, so SET TRANSACTION may follow it. But SET takes a quoted
 * value for one element, so a list needs set_config(), and so does an empty value. */
static void
put_restored(struct buf *to, const struct guc *s)
{
	bool is_list = known_quotes_elements(s->name) &&
		       s->value[strspn(s->value, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0';

	if (is_list || s->value[0] == '\0') {
		buf_printf(to, "SELECT pg_catalog.set_config(");
		put_literal(to, s->name);
		buf_printf(to, ", ");
		put_literal(to, s->value);
		buf_printf(to, ", false)");
		return;
	}
	buf_printf(to, "SET ");
	guc_put_identifier(to, s->name, false);
	buf_printf(to, " TO ");
	put_literal(to, s->value);
}

void
state_put_reset(struct exchange *x, const struct known_text *text, struct buf *to)
{
	for (size_t i = 0; i < gucs_count(x->startup); i++)
		if (must_restore(x, text, gucs_at(x->startup, i))) {
			buf_printf(to, "\n;"); /* the SQL may end in a comment */
			put_restored(to, gucs_at(x->startup, i));
		}
	buf_put_u8(to, 0);
}

void
state_follow_reset(struct exchange *x, const struct known_text *text)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < gucs_count(x->startup); i++) {
		struct buf sql = { 0 };

		if (!must_restore(x, text, gucs_at(x->startup, i)))
			continue;
		put_restored(&sql, gucs_at(x->startup, i));
		buf_put_u8(&sql, 0);
		b.is_broken = b.is_broken || !buf_ok(&sql);
		state_put_sql(x, &b, buf_ok(&sql) ? (const char *)sql.bytes : "", OWED_TO_STATEMENT, NULL);
		buf_fini(&sql);
	}
	outbox_put(&x->env->to_server, &b);
}

/* Returns a GUC set of the reported settings of `base` and the client's startup values; NULL if there is no memory. */
static struct gucs *
startup_gucs(const struct exchange *x, struct gucs *base)
{
	struct gucs *gucs = gucs_ref(base);
	int r = gucs_move(&gucs, gucs_replace(gucs, GUC_OTHER, NULL, 0));

	for (size_t i = 0; i < gucs_count(x->startup) && r == 0; i++) {
		const struct guc *s = gucs_at(x->startup, i);

		if (state_has_startup(x, s))
			r = gucs_update(&gucs, s->name, s->value, s->kind);
	}
	if (r == 0)
		return gucs;
	gucs_unref(gucs);
	return NULL;
}

struct gucs *
state_startup_gucs(const struct exchange *x)
{
	return startup_gucs(x, x->gucs);
}

/* Appends a report of each setting in which gucs differs from what the client was told. */
static void
put_differences(const struct exchange *x, const struct gucs *gucs, struct buf *b)
{
	for (size_t i = 0; i < gucs_count(gucs); i++) {
		const struct guc *s = gucs_at(gucs, i);
		const char *told = gucs_get(x->gucs, s->name);

		if (s->kind == GUC_REPORTED && (told == NULL || strcmp(told, s->value) != 0))
			message_parameter(b, s->name, s->value);
	}
}

int
state_set_client_gucs(struct exchange *x, struct gucs *gucs)
{
	struct buf b = { 0 };

	if (gucs == NULL)
		return -1;
	put_differences(x, gucs, &b);
	if (!buf_ok(&b)) {
		gucs_unref(gucs);
		gucs = NULL;
	} else if (b.len > 0)
		exchange_answer(x, b.bytes, b.len);
	buf_fini(&b);
	return gucs_move(&x->gucs, gucs);
}

void
state_undo_reports(struct exchange *x, const struct gucs *before)
{
	struct buf b = { 0 };
	int r = 0;

	if (before == NULL)
		return;
	put_differences(x, before, &b);
	for (size_t i = 0; i < gucs_count(before) && r == 0; i++) {
		const struct guc *s = gucs_at(before, i);

		if (s->kind == GUC_REPORTED)
			r = gucs_update(&x->gucs, s->name, s->value, GUC_REPORTED);
	}
	if (r < 0)
		exchange_break_later(x);
	else if (b.len > 0 || !buf_ok(&b))
		exchange_send(x, &b);
	buf_fini(&b);
}

bool
state_hides_parameter(const struct exchange *x, const char *name)
{
	const struct guc *s = x->session->discard == DISCARD_NOT ? NULL : gucs_find(x->startup, name);

	return s != NULL && state_has_startup(x, s);
}

void
state_note_discard_all(struct exchange *x)
{
	struct server *srv = x->srv;
	struct client_session *s = client_session_get_or_create(x);

	if (s == NULL || server_forget_unreported(srv) < 0) {
		exchange_break_later(x);
		return;
	}
	srv->loan.passes_replies_early = true;
	srv->loan.settled_flags |= srv->loan.suspected & SCAN_REPLICATION;
	srv->loan.suspected &= ~(uint32_t)(SCAN_PROBED | SCAN_UNDO);
	srv->loan.suspected |= srv->loan.settled_flags & SCAN_REPLICATION; /* DISCARD ALL leaves slots and origins */
	x->pins = 0;
	s->discard = DISCARD_DONE;
	s->unresolved = 0;
	s->is_name_lost = false;
	buf_fini(&s->extension_cause);
	state_drop_effects(s);
	buf_fini(&s->prepared);
}

void
state_request_failed(struct exchange *x)
{
	if (x->session->discard == DISCARD_SENT)
		x->session->discard = DISCARD_NOT; /* later reports are passed to the client */
}

void
state_request_done(struct exchange *x)
{
	/* After a DISCARD ALL, tells the client its settings: reports were hidden until now, and reports after a Sync
	 * of pgweir's own were not passed on. */
	if (x->session->discard >= DISCARD_DONE && state_set_client_gucs(x, startup_gucs(x, x->srv->gucs)) < 0)
		exchange_break_later(x);
	x->session->discard = DISCARD_NOT;
}
