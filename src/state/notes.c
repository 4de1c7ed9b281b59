/*
 * src/state/notes.c - records what SQL that is about to run does to the session, as far as that is known; see
 * state/state_state.h.
 *
 * If the SQL alone shows its effect, the effect is recorded with the client. If not, the SQL's flags are recorded with
 * the server's loan as a suspicion (loan.suspected), and the server is asked later.
 */
#include "session/audit.h"
#include "state/compiled.h"
#include "state/state.h"
#include "state/state_state.h"
#include "wire/fields.h"
#include "session/gucs_effects.h"
#include "sql/traits.h"

#include <stdlib.h>
#include <string.h>

/* Keeps the client's GUC set in `before`, unless an earlier change of the transaction has done so. */
static void
keep_old_gucs(struct exchange *x)
{
	if (x->session->before == NULL)
		x->session->before = gucs_ref(x->gucs);
}

/* --- suspicion --- */

void
state_audit(struct exchange *x, uint32_t flags)
{
	if (x->settings->session_state == SESSION_WARN)
		audit_note(x->env->audit, x->pool->database->name, exchange_user(x), exchange_application(x), flags,
			   *x->env->now_us);
}

void
state_note_setting_name(struct client_session *s, struct server *srv, const char *name)
{
	char **grown;

	for (unsigned i = 0; i < s->name_count; i++)
		if (strcmp(s->names[i], name) == 0)
			return;
	grown = s->name_count == NAMES_MAX ? NULL : realloc(s->names, (s->name_count + 1) * sizeof(*grown));
	if (grown != NULL)
		s->names = grown;
	if (grown == NULL || (s->names[s->name_count] = strdup(name)) == NULL)
		srv->loan.suspected |= SCAN_NAMES_LOST;
	else
		s->name_count++;
}

enum feature_step
state_suspect(struct exchange *x, uint32_t flags, const struct scan *scan)
{
	struct client_session *s;

	if (flags & (SCAN_SEQUENCES | SCAN_CODE | SCAN_EXECUTE))
		state_prepare_sequence_use(x, flags);
	if ((flags & ~(uint32_t)SCAN_PLAIN) == 0)
		return STEP_FORWARD;
	s = client_session_get_or_create(x);
	if (s == NULL)
		return STEP_FAILED;
	keep_old_gucs(x);
	x->srv->loan.suspected |= flags;
	x->srv->loan.has_run_code = x->srv->loan.has_run_code || (flags & SCAN_CODE) != 0;
	if ((flags & (SCAN_SETTING | SCAN_CODE)) != 0 && state_has_any_startup(x))
		s->may_be_reset = true;
	if (flags & SCAN_BACKEND)
		s->is_tainted = true;
	for (uint32_t i = 0; scan != NULL && i < scan->name_count; i++)
		state_note_setting_name(s, x->srv, scan->names[i]);
	return STEP_FORWARD;
}

/* --- effects --- */

static bool
is_reported(const struct exchange *x, const char *name)
{
	return x->pool->baseline != NULL && gucs_get(x->pool->baseline, name) != NULL;
}

/* Records an effect. Also records the name of a custom setting, because if the effect does not count (after an error or
 * a rollback), the probe must ask for that setting by name. */
static void
add_effect(struct exchange *x, enum effect_kind kind, const char *name, const char *value)
{
	struct client_session *s = x->session;
	struct effect *e = &s->effects[s->effect_count];

	keep_old_gucs(x);
	if (name != NULL && strchr(name, '.') != NULL)
		state_note_setting_name(s, x->srv, name);
	if (s->effect_count == EFFECTS_MAX) {
		x->srv->loan.suspected |= SCAN_SETTING;
		return;
	}
	e->kind = kind;
	e->name = name == NULL ? NULL : strdup(name);
	e->value = value == NULL ? NULL : strdup(value);
	s->effect_count++;
	if ((name != NULL && e->name == NULL) || (value != NULL && e->value == NULL))
		x->srv->loan.suspected |= SCAN_SETTING; /* a probe will find out the setting */
}

enum feature_step
state_note_execute(struct exchange *x, const char *name)
{
	const char *text = state_prepared_text(x, name);
	struct scan scan, all_options;

	if (text == NULL)
		return state_suspect(x, SCAN_EXECUTE, NULL);
	scan_text(&scan, gucs_scan_options(x->gucs), text, strlen(text));
	/* PostgreSQL read the text when the statement was prepared, perhaps under other options. */
	scan_text_all_options(&all_options, text, strlen(text));
	return state_suspect(x, (scan.flags | all_options.flags) & ~(uint32_t)SCAN_PREPARE, &scan);
}

/* Returns true if PostgreSQL may read the SQL after k differently. (The client's GUC set does not show this yet,
 * because pgweir learns a reported setting from the reply.) */
static bool
changes_reading(const struct known_statement *k)
{
	return k->kind == KNOWN_RESET_ALL || k->kind == KNOWN_RESET_USER ||
	       ((k->kind == KNOWN_SET || k->kind == KNOWN_RESET) && guc_affects_parsing_or_user(k->name));
}

static void
note_set(struct exchange *x, const struct known_statement *k)
{
	if (strcasecmp(k->name, "client_encoding") == 0)
		state_note_encoding(x, k->value);
	if (strcasecmp(k->name, "seed") == 0) /* sets no value that can be read, but the seed of random() */
		x->srv->loan.suspected |= SCAN_SEED;
	else if (!is_reported(x, k->name))
		add_effect(x, EFFECT_SET, k->name, k->value);
}

static enum feature_step
note_statement(struct exchange *x, const struct known_statement *k)
{
	struct server *srv = x->srv;

	if (changes_reading(k)) {
		srv->loan.has_local_parse_settings = true;
		srv->loan.local_context = 0;
		state_begin_context_change(x);
		keep_old_gucs(x); /* a RESET may follow, and be rolled back together with this setting */
	}
	switch ((enum known_kind)k->kind) {
	case KNOWN_SET:
		note_set(x, k);
		return STEP_FORWARD;
	case KNOWN_RESET:
		if (!is_reported(x, k->name))
			add_effect(x, EFFECT_RESET, k->name, NULL);
		return STEP_FORWARD;
	case KNOWN_RESET_USER:
		add_effect(x, EFFECT_RESET, "session_authorization", NULL);
		add_effect(x, gucs_get(x->startup, "role") == NULL ? EFFECT_RESET : EFFECT_SET, "role", "none");
		return STEP_FORWARD;
	case KNOWN_RESET_ALL:
		add_effect(x, EFFECT_RESET_ALL, NULL, NULL);
		return STEP_FORWARD;
	case KNOWN_PREPARE:
		srv->loan.suspected |= SCAN_PREPARE;
		return STEP_FORWARD;
	case KNOWN_EXECUTE:
		return state_note_execute(x, k->name);
	case KNOWN_DEALLOCATE:
	case KNOWN_DEALLOCATE_ALL:
	case KNOWN_DISCARD_PART:
	case KNOWN_CLOSE_ALL:
	case KNOWN_UNLOCK_ALL:
	case KNOWN_UNLISTEN:
	case KNOWN_UNLISTEN_ALL:
		srv->loan.suspected |= SCAN_UNDO; /* the SQL does nothing else */
		return STEP_FORWARD;
	case KNOWN_LISTEN:
		srv->loan.suspected |= SCAN_LISTEN;
		return STEP_FORWARD;
	case KNOWN_LOCAL: /* the name may be "", for example after set_config(): then any setting may be changed */
		state_note_local_name(x, k->name, k->value);
		return STEP_FORWARD;
	default:
		return STEP_FORWARD;
	}
}

/* Records SQL of which everything is known. DISCARD ALL must be the only statement, or PostgreSQL refuses it. */
enum feature_step
state_note_all(struct exchange *x, const struct known_text *text)
{
	if (text->count == 1 && text->statements[0].kind == KNOWN_DISCARD_ALL) {
		if (x->srv->ledger.count > 0)
			return STEP_HOLD;
		x->session->discard = DISCARD_SENT;
		return STEP_FORWARD;
	}
	if (!exchange_is_followed(x))
		return STEP_FORWARD;
	for (unsigned i = 0; i < text->count; i++)
		if (note_statement(x, &text->statements[i]) == STEP_FAILED)
			return STEP_FAILED;
	return STEP_FORWARD;
}

static bool
copy_value(const uint8_t *body, size_t len, unsigned param, char *out, size_t cap)
{
	const uint8_t *bytes;
	size_t n;

	if (!fields_read_bind_value(body, len, param - 1, &bytes, &n) || bytes == NULL || n >= cap ||
	    memchr(bytes, 0, n) != NULL)
		return false;
	memcpy(out, bytes, n);
	out[n] = '\0';
	return true;
}

/* Returns false if the probe must find out the effect. */
static bool
fill_in(struct known_statement *k, const uint8_t *body, size_t len)
{
	const uint8_t *local;
	size_t local_len;

	if ((k->name_param != 0 && !copy_value(body, len, k->name_param, k->name, sizeof(k->name))) ||
	    (k->value_param != 0 && !copy_value(body, len, k->value_param, k->value, sizeof(k->value))))
		return false;
	if (k->local_param != 0) {
		/* reads a value that begins with t or f, or a byte 0 or 1 (binary); a probe finds other spellings */
		if (!fields_read_bind_value(body, len, k->local_param - 1u, &local, &local_len) || local == NULL ||
		    local_len == 0 || (memchr("tf\1", local[0], 3) == NULL && (local[0] != 0 || local_len != 1)))
			return false;
		k->is_local = local[0] == 't' || local[0] == 1;
	}
	k->kind = k->is_local ? KNOWN_LOCAL : KNOWN_SET;
	return true;
}

bool
state_fill_in(struct known_text *text, const uint8_t *body, size_t len)
{
	for (unsigned i = 0; i < text->count; i++)
		if (text->statements[i].kind == KNOWN_SET_PARAMS && !fill_in(&text->statements[i], body, len))
			return false;
	return true;
}

bool
state_is_known(const struct exchange *x, const struct known_text *text)
{
	for (unsigned i = 0; i < text->count; i++) {
		uint8_t kind = text->statements[i].kind;

		if (kind == KNOWN_SET_PARAMS || (kind == KNOWN_DISCARD_ALL && text->count > 1) ||
		    (kind == KNOWN_RESET_USER && gucs_get(x->startup, "session_authorization") != NULL))
			return false;
	}
	return text->is_certain;
}
