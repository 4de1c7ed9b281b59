/*
 * src/state/ask.c - asks a server which state is left in the session, and acts on the answer; see state/state_state.h.
 *
 * The probe is sent when the client has got all its replies. Messages that the client sends after the probe wait until
 * the probe is answered, because a probe that takes too long is cancelled, and the cancel must hit nothing else. The
 * rows of the probe become the GUC sets of client and server; state that can't be moved pins the client.
 */
#include "state/state.h"
#include "state/state_state.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The parts of the session state that can pin a client. `flag`: the flags of SQL that may leave such state; `row`: the
 * kind of the probe's rows that show such state. (PROBE_SETTING rows do not pin: see judge_row().) */
static const struct {
	enum state_part part;
	enum pin_reason reason;
	uint32_t flag;
	uint8_t row;
} pinning[] = {
	{ STATE_SETTINGS, PIN_SESSION_SET, SCAN_SETTING | SCAN_REPLICATION, PROBE_SETTING },
	{ STATE_TEMP, PIN_TEMP_TABLE, SCAN_TEMP, PROBE_TEMPORARY },
	{ STATE_LOCKS, PIN_ADVISORY_LOCK, SCAN_LOCK, PROBE_LOCK },
	{ STATE_CURSORS, PIN_CURSOR, SCAN_CURSOR, PROBE_CURSOR },
	{ STATE_PREPARED, PIN_STATEMENT, SCAN_PREPARE, PROBE_STATEMENT },
	{ STATE_LISTEN, PIN_LISTEN, SCAN_LISTEN, PROBE_CHANNEL },
};
#define PINNING_COUNT (sizeof(pinning) / sizeof(pinning[0]))

unsigned
state_parts_of(const struct exchange *x, uint32_t flags)
{
	unsigned parts = flags & (SCAN_CODE | SCAN_EXECUTE) ? STATE_PROBED : 0;

	if (flags & SCAN_FUNCTION)
		parts |= RISK_CALLED(x->srv->loan.risk);
	if ((flags & SCAN_CREATE) && (gucs_side_effects(x->gucs) & GUCS_LEAVES_TEMP))
		parts |= STATE_TEMP;
	for (size_t i = 0; i < PINNING_COUNT; i++)
		if ((flags & pinning[i].flag) || ((flags & SCAN_UNDO) && (x->pins & 1u << pinning[i].reason)))
			parts |= pinning[i].part;
	return parts;
}

static void
add_custom_names(const struct gucs *gucs, const char **names, size_t *count, size_t cap)
{
	for (size_t i = 0; i < gucs_count(gucs) && *count < cap; i++) {
		const struct guc *s = gucs_at(gucs, i);

		if (s->kind == GUC_OTHER && strchr(s->name, '.') != NULL)
			names[(*count)++] = s->name;
	}
}

int
state_ask(struct exchange *x, unsigned parts)
{
	struct server *srv = x->srv;
	struct client_session *s = x->session;
	const struct code_answer *code = x->pool->code->answer;
	const char *names[NAMES_MAX + CODE_SETTINGS_MAX + 2 * GUCS_MAX];
	unsigned more = ((srv->loan.settled_flags & SCAN_SLOT) != 0 ? STATE_BACKEND : 0u) |
			((srv->loan.settled_flags & SCAN_ORIGIN) != 0 && !s->is_tainted ? PROBE_ORIGIN : 0u) |
			(srv->loan.risk & RISK_UNREAD);
	size_t count = 0;
	struct buf b = { 0 };
	int r;

	for (unsigned i = 0; i < s->name_count; i++)
		names[count++] = s->names[i];
	for (unsigned i = 0; code != NULL && i < code->setting_count; i++)
		names[count++] = code->settings[i];
	add_custom_names(x->gucs, names, &count, sizeof(names) / sizeof(names[0]));
	if (srv->gucs != x->gucs)
		add_custom_names(srv->gucs, names, &count, sizeof(names) / sizeof(names[0]));
	probe_put(&b, parts | ((parts & STATE_SETTINGS) != 0 ? more : 0u), names, count, x->startup);
	server_owe_query(srv, OWED_TO_PGWEIR);
	r = server_send(srv, &b);
	s->parts = parts;
	srv->loan.has_run_code = srv->loan.has_run_code && (parts & STATE_SETTINGS) == 0;
	s->is_probe_lost = s->is_probe_cancelled = false;
	s->rows.len = 0;
	s->row_count = 0;
	x->pool->database->counters.probes++;
	return r;
}

void
state_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole)
{
	struct exchange *x = srv->borrower;
	struct client_session *s = x == NULL ? NULL : x->session;
	struct probe_row row;
	char *copy;

	if (s == NULL || s->is_probe_lost)
		return;
	copy = malloc(len + 3);
	if (copy == NULL || !is_whole || !probe_read_row(body, len, copy, &row) || s->row_count >= GUCS_MAX) {
		s->is_probe_lost = true;
	} else {
		buf_put_u8(&s->rows, row.kind);
		buf_put_str(&s->rows, row.name);
		buf_put_str(&s->rows, row.value);
		s->row_count++;
		s->is_probe_lost = !buf_ok(&s->rows);
	}
	free(copy);
}

void
state_probe_failed(struct exchange *x)
{
	if (x->session != NULL)
		x->session->is_probe_lost = true;
}

bool
state_may_cancel_probe(const struct exchange *x)
{
	return x->session != NULL && x->session->parts != 0 && !x->session->is_probe_cancelled;
}

void
state_note_probe_cancel(struct exchange *x)
{
	x->session->is_probe_cancelled = true;
}

/* The findings of all rows of the probe. */
struct findings {
	struct guc settings[GUCS_MAX];
	size_t setting_count;
	unsigned immovable; /* enum state_part: state that can't be moved */
};

static void
judge_row(const struct exchange *x, struct findings *f, uint8_t kind, const char *name, const char *value)
{
	switch (kind) {
	case PROBE_REPLICATION:
		f->immovable |= STATE_SETTINGS | STATE_BACKEND;
		break;
	case PROBE_SUPERUSER_SETTING: /* without a grant, only a superuser can make it elsewhere */
		f->immovable |= gucs_is_on(x->pool->login_parameters, "is_superuser") ? 0u : STATE_SETTINGS;
		/* fall through */
	case PROBE_SETTING:
	case PROBE_CUSTOM:
		f->settings[f->setting_count++] = (struct guc){ name, value, GUC_OTHER };
		break;
	case PROBE_ROLE:
		/* Where logins begin in another role (ALTER ROLE ... SET role), "none" is a setting, too, because the
		 * client has left that role. */
		if (strcmp(value, "none") != 0 || gucs_get(x->gucs, "role") != NULL)
			f->settings[f->setting_count++] = (struct guc){ "role", value, GUC_OTHER };
		break;
	case PROBE_USER:
		if (strcmp(value, x->srv->target->user) != 0)
			f->settings[f->setting_count++] = (struct guc){ "session_authorization", value, GUC_OTHER };
		break;
	default:
		for (size_t i = 0; i < PINNING_COUNT; i++)
			if (pinning[i].row == kind)
				f->immovable |= pinning[i].part;
	}
}

static void
read_rows(const struct exchange *x, struct findings *f)
{
	const char *at = (const char *)x->session->rows.bytes, *previous = NULL;
	size_t overridden_rows = 0;

	f->setting_count = 0;
	f->immovable = 0;
	for (unsigned i = 0; i < x->session->row_count; i++) {
		const char *name = at + 1, *value = name + strlen(name) + 1;

		if (*at != PROBE_OVERRIDDEN)
			judge_row(x, f, (uint8_t)*at, name, value);
		else if (overridden_rows++ % 2 != 0 && strcmp(previous, value) != 0 &&
			 (name = probe_overridden_setting(x->startup, overridden_rows / 2 - 1)) != NULL)
			f->settings[f->setting_count++] = (struct guc){ name, previous, GUC_OTHER };
		previous = value;
		at = value + strlen(value) + 1;
	}
}

static bool
has_setting(const struct findings *f, const char *name)
{
	for (size_t i = 0; i < f->setting_count; i++)
		if (strcasecmp(f->settings[i].name, name) == 0)
			return true;
	return false;
}

static bool
has_changed(const struct exchange *x, const char *name)
{
	const struct gucs *before = x->session->before;
	const char *was = before == NULL ? NULL : gucs_get(before, name), *now = gucs_get(x->gucs, name);

	return was != NULL && now != NULL && strcmp(was, now) != 0;
}

/* Makes the GUC sets of server and client from the rows; the values of reported settings are known without the rows.
 * Returns 0, or -1 if there is no memory. */
static int
learn_settings(struct exchange *x, struct findings *f)
{
	struct server *srv = x->srv;
	struct gucs *gucs = gucs_ref(x->gucs);
	size_t kept = 0;
	int r = 0;

	/* A startup setting that has changed and is not in the rows was RESET to the client's own startup value. */
	for (size_t i = 0; i < gucs_count(x->startup) && r == 0; i++) {
		const struct guc *s = gucs_at(x->startup, i);

		if (s->kind == GUC_REPORTED && state_has_startup(x, s) && !has_setting(f, s->name) &&
		    has_changed(x, s->name))
			r = gucs_update(&gucs, s->name, s->value, GUC_REPORTED);
	}
	for (size_t i = 0; i < f->setting_count; i++) {
		const struct guc *s = gucs_find(srv->gucs, f->settings[i].name);

		if (s == NULL || s->kind != GUC_REPORTED)
			f->settings[kept++] = f->settings[i];
	}
	f->setting_count = kept;
	if (r < 0 || gucs_move(&srv->gucs, gucs_replace(srv->gucs, GUC_OTHER, f->settings, f->setting_count)) < 0) {
		gucs_unref(gucs);
		return -1;
	}
	r = gucs_move(&gucs, gucs_replace(gucs, GUC_OTHER, f->settings, f->setting_count));
	for (size_t i = 0; i < gucs_count(x->startup) && r == 0; i++) {
		const struct guc *s = gucs_at(x->startup, i);

		if (s->kind == GUC_OTHER && gucs_get(gucs, s->name) == NULL)
			r = gucs_update(&gucs, s->name, s->value, GUC_OTHER);
	}
	if (r == 0)
		return state_set_client_gucs(x, gucs);
	gucs_unref(gucs);
	return -1;
}

/* Keeps names and SQL of statements of SQL PREPARE for later EXECUTEs; keeps none if rows of the probe were lost. */
static void
learn_prepared(struct client_session *s)
{
	const char *at = (const char *)s->rows.bytes;

	buf_fini(&s->prepared);
	for (unsigned i = 0; i < s->row_count && !s->is_probe_lost; i++) {
		const char *name = at + 1, *value = name + strlen(name) + 1;
		const char *next = value + strlen(value) + 1;

		if (*at == PROBE_STATEMENT && s->prepared.len + (size_t)(next - name) <= GUCS_TEXT_MAX)
			buf_put(&s->prepared, name, (size_t)(next - name));
		at = next;
	}
	if (!buf_ok(&s->prepared))
		buf_fini(&s->prepared);
}

const char *
state_prepared_text(const struct exchange *x, const char *name)
{
	const struct client_session *s = x->session;

	/* SQL with these flags may have replaced the statement. */
	if (s == NULL || (x->srv->loan.suspected & (SCAN_PREPARE | SCAN_CODE | SCAN_EXECUTE | SCAN_FUNCTION)) != 0)
		return NULL;
	for (size_t at = 0; at < s->prepared.len;) {
		const char *found = (const char *)s->prepared.bytes + at, *text = found + strlen(found) + 1;

		if (strcmp(found, name) == 0)
			return text;
		at += (size_t)(text - found) + strlen(text) + 1;
	}
	return NULL;
}

static bool
has_own_settings(const struct exchange *x)
{
	struct gucs *startup = state_startup_gucs(x);
	bool is_same = startup == x->gucs;

	gucs_unref(startup);
	return !is_same;
}

void
state_probe_done(struct server *srv)
{
	struct exchange *x = srv->borrower;
	struct client_session *s = x == NULL ? NULL : x->session;
	struct findings *f;
	unsigned pins, parts;

	if (s == NULL || s->parts == 0)
		return;
	parts = s->parts;
	pins = x->pins;
	f = malloc(sizeof(*f));
	if (f == NULL)
		s->is_probe_lost = true;
	if (!s->is_probe_lost) {
		read_rows(x, f);
		s->is_probe_lost = (parts & STATE_SETTINGS) != 0 && learn_settings(x, f) < 0;
	}
	if ((parts & STATE_PREPARED) != 0)
		learn_prepared(s);
	if ((parts & STATE_SETTINGS) != 0 && !s->is_probe_lost && (f->immovable & STATE_BACKEND) == 0)
		srv->loan.settled_flags &= ~(uint32_t)SCAN_REPLICATION; /* no temporary slot and no origin is left */
	for (size_t i = 0; i < PINNING_COUNT; i++) {
		if (!(parts & pinning[i].part))
			continue;
		pins &= ~(1u << pinning[i].reason);
		if (s->is_probe_lost || (f->immovable & pinning[i].part))
			pins |= 1u << pinning[i].reason;
	}
	if (s->is_tainted || s->is_name_lost || (x->settings->session_state == SESSION_PIN && has_own_settings(x)))
		pins |= 1u << PIN_SESSION_SET;
	s->unresolved = s->is_probe_lost ? parts : s->unresolved & ~parts;
	s->parts = 0;
	srv->loan.has_run_code = srv->loan.has_run_code || s->is_probe_lost;
	state_forget_old_gucs(s);
	buf_fini(&s->rows);
	free(f);
	exchange_ignore_result(state_set_pins(x, pins));
}
