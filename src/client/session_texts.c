/*
 * src/client/session_texts.c - what a client's texts may leave behind in the session; see session.h.
 *
 * Nearly every text leaves nothing: it costs its scan, or nothing if it was prepared. The effect of the rest is noted
 * with the client where it is known from the text, else the server is suspected (srv->suspicion), and session_settle.c
 * sees to it when the transaction is over.
 */
#include "client/audit.h"
#include "client/session.h"
#include "wire/fields.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct client_session *
session_own(struct client *c)
{
	if (c->session == NULL)
		c->session = calloc(1, sizeof(*c->session));
	return c->session;
}

bool
session_is_followed(const struct client *c)
{
	return !c->is_session && c->entry->settings.session_state != SESSION_ALLOW;
}

/* In session mode the server is the client's, but RESET still means its own startup values. */
static bool
is_looked_at(const struct client *c)
{
	if (c->replication != 0)
		return false; /* there it does: they were in that server's own startup packet */
	return c->entry->settings.session_state != SESSION_ALLOW || c->is_session;
}

/* --- suspicion --- */

static void
audit(struct client *c, uint32_t flags)
{
	if (c->entry->settings.session_state == SESSION_WARN)
		audit_note(c->env->audit, c->entry->database->name, client_user(c), client_application(c), flags,
			   *c->env->now_us);
}

static void
take_name(struct client_session *s, struct server *srv, const char *name)
{
	char **grown;

	for (unsigned i = 0; i < s->name_count; i++)
		if (strcmp(s->names[i], name) == 0)
			return;
	grown = s->name_count == NAMES_MAX ? NULL : realloc(s->names, (s->name_count + 1) * sizeof(*grown));
	if (grown != NULL)
		s->names = grown;
	if (grown == NULL || (s->names[s->name_count] = strdup(name)) == NULL)
		srv->suspicion |= SCAN_NAMES_LOST;
	else
		s->name_count++;
}

static void
take_names(struct client_session *s, struct server *srv, const struct scan *scan)
{
	for (uint32_t i = 0; i < scan->name_count; i++)
		take_name(s, srv, scan->names[i]);
}

#define SCAN_SEQUENCES (SCAN_SEQUENCE | SCAN_NEXTVAL | SCAN_INSERT)

static enum statement_step
suspect(struct client *c, const struct scan *scan)
{
	struct client_session *s;

	if ((scan->flags & SCAN_SEQUENCES) && session_used_sequence(c, scan->flags) < 0)
		return STATEMENT_FAILED;
	if ((scan->flags & ~(uint32_t)SCAN_SEQUENCES) == 0)
		return STATEMENT_FORWARD;
	s = session_own(c);
	if (s == NULL)
		return STATEMENT_FAILED;
	if (s->before == NULL)
		s->before = image_ref(c->image);
	c->srv->suspicion |= scan->flags;
	if (scan->flags & SCAN_LOAD)
		s->is_tainted = true;
	take_names(s, c->srv, scan);
	return STATEMENT_FORWARD;
}

/* --- effects --- */

static bool
is_reported(const struct client *c, const char *name)
{
	return c->entry->baseline != NULL && image_get(c->entry->baseline, name) != NULL;
}

/* A custom setting is asked for by name, should the effect not be believed. */
static void
add_effect(struct client *c, int kind, const char *name, const char *value)
{
	struct client_session *s = c->session;
	struct effect *e = &s->effects[s->effect_count];

	if (s->before == NULL)
		s->before = image_ref(c->image);
	if (s->effect_count == EFFECTS_MAX) {
		c->srv->suspicion |= SCAN_SETTING | SCAN_PREPARE;
		return;
	}
	e->kind = kind;
	e->name = name == NULL ? NULL : strdup(name);
	e->value = value == NULL ? NULL : strdup(value);
	s->effect_count++;
	if (name != NULL && strchr(name, '.') != NULL && (kind == EFFECT_SET || kind == EFFECT_RESET))
		take_name(s, c->srv, name);
	if ((name != NULL && e->name == NULL) || (value != NULL && e->value == NULL))
		c->srv->suspicion |= SCAN_SETTING | SCAN_PREPARE; /* applied or not, the probe has the last word */
}

/* The text of a statement that SQL PREPARE made, by its name; NULL: unknown. */
static const char *
prepared_text(const struct client *c, const char *name)
{
	const struct client_session *s = c->session;

	for (unsigned i = s == NULL ? 0 : s->effect_count; i-- > 0;) {
		const struct effect *e = &s->effects[i];

		if (e->name != NULL && e->kind == EFFECT_PREPARE && strcmp(e->name, name) == 0)
			return e->value;
	}
	return image_get_prepared(c->image, name);
}

/* What EXECUTE runs was scanned when it was prepared; it is scanned for what running it may do. */
static enum statement_step
note_execute(struct client *c, const char *name)
{
	const char *text = prepared_text(c, name);
	struct scan scan;

	if (text == NULL) {
		c->srv->suspicion |= SCAN_EXECUTE;
		return STATEMENT_FORWARD;
	}
	scan_text(&scan, image_scan_options(c->image), text, strlen(text));
	scan.flags &= ~(uint32_t)SCAN_PREPARE;
	return suspect(c, &scan);
}

static enum statement_step
note(struct client *c, const struct known *k, const char *sql, size_t len, unsigned count)
{
	struct server *srv = c->srv;

	switch ((enum known_kind)k->kind) {
	case KNOWN_SET:
		if (strcmp(k->name, "role") == 0 && strcmp(k->value, "none") == 0 &&
		    image_get(c->startup, "role") == NULL)
			add_effect(c, EFFECT_RESET, k->name, NULL);
		else if (!is_reported(c, k->name))
			add_effect(c, EFFECT_SET, k->name, k->value);
		return STATEMENT_FORWARD;
	case KNOWN_RESET:
		if (!is_reported(c, k->name))
			add_effect(c, EFFECT_RESET, k->name, NULL);
		return STATEMENT_FORWARD;
	case KNOWN_RESET_ALL:
		add_effect(c, EFFECT_RESET_ALL, NULL, NULL);
		return STATEMENT_FORWARD;
	case KNOWN_PREPARE: {
		char *text = count == 1 ? strndup(sql, len) : NULL;

		if (text != NULL)
			add_effect(c, EFFECT_PREPARE, k->name, text);
		else
			srv->suspicion |= SCAN_PREPARE;
		free(text);
		return STATEMENT_FORWARD;
	}
	case KNOWN_EXECUTE:
		return note_execute(c, k->name);
	case KNOWN_DEALLOCATE:
		add_effect(c, EFFECT_DEALLOCATE, k->name, NULL);
		return STATEMENT_FORWARD;
	case KNOWN_DEALLOCATE_ALL:
		add_effect(c, EFFECT_DEALLOCATE_ALL, NULL, NULL);
		return STATEMENT_FORWARD;
	case KNOWN_CLOSE_ALL:
	case KNOWN_UNLOCK_ALL:
	case KNOWN_UNLISTEN:
	case KNOWN_UNLISTEN_ALL:
		srv->suspicion |= SCAN_UNDO; /* no more than that */
		return STATEMENT_FORWARD;
	case KNOWN_LISTEN:
		srv->suspicion |= SCAN_LISTEN;
		return STATEMENT_FORWARD;
	default:
		return STATEMENT_FORWARD;
	}
}

/* Everything in the text is known. DISCARD ALL stands alone, or PostgreSQL refuses it. */
static enum statement_step
note_all(struct client *c, const struct known_text *text, const char *sql, size_t len)
{
	struct client_session *s = c->session;

	if (text->count == 1 && text->statements[0].kind == KNOWN_DISCARD_ALL) {
		if (c->srv->ledger.count > 0)
			return STATEMENT_HOLD;
		s->is_discard_sent = s->is_filtering = true;
		c->srv->watches_tags = true;
		return STATEMENT_FORWARD;
	}
	if (!session_is_followed(c))
		return STATEMENT_FORWARD;
	for (unsigned i = 0; i < text->count; i++)
		if (note(c, &text->statements[i], sql, len, text->count) == STATEMENT_FAILED)
			return STATEMENT_FAILED;
	return STATEMENT_FORWARD;
}

static bool
copy_text(const uint8_t *body, size_t len, unsigned param, char *out, size_t cap)
{
	const uint8_t *bytes;
	size_t n;

	if (!fields_bind_value(body, len, param - 1, &bytes, &n) || bytes == NULL || n >= cap ||
	    memchr(bytes, 0, n) != NULL)
		return false;
	memcpy(out, bytes, n);
	out[n] = '\0';
	return true;
}

/* SELECT set_config($1, $2, $3), with its values, of the Bind. False: they are left to the probe. */
static bool
fill_in(struct known *k, const uint8_t *body, size_t len)
{
	const uint8_t *local;
	size_t local_len;

	if (k->name_param != 0 && !copy_text(body, len, k->name_param, k->name, sizeof(k->name)))
		return false;
	if (k->value_param != 0 && !copy_text(body, len, k->value_param, k->value, sizeof(k->value)))
		return false;
	if (k->local_param != 0) {
		if (!fields_bind_value(body, len, k->local_param - 1u, &local, &local_len) || local == NULL ||
		    local_len == 0)
			return false;
		/* "t", "true", or a byte in binary; other spellings are left to the probe */
		if (memchr("tf\1", local[0], 3) == NULL && (local[0] != 0 || local_len != 1))
			return false;
		k->is_local = local[0] == 't' || local[0] == 1;
	}
	k->kind = k->is_local ? KNOWN_LOCAL : KNOWN_SET;
	return true;
}

/* A flagged text is about to run: is everything in it known? body: of its Bind, or NULL. */
static bool
is_known(const struct client *c, struct known_text *text, const char *sql, size_t len, const uint8_t *body,
	 size_t body_len)
{
	if (!known_parse(text, image_scan_options(c->image), sql, len) || !text->is_all)
		return false;
	for (unsigned i = 0; i < text->count; i++) {
		struct known *k = &text->statements[i];

		if (k->kind == KNOWN_SET_PARAMS && k->is_local && k->local_param == 0)
			k->kind = KNOWN_LOCAL;
		if (k->kind == KNOWN_SET_PARAMS && (body == NULL || !fill_in(k, body, body_len)))
			return false;
		if (k->kind == KNOWN_DISCARD_ALL && text->count > 1)
			return false;
	}
	return true;
}

/* --- simple Queries --- */

static enum statement_step
begin_pieces(struct client *c, const char *sql, size_t have, bool is_parse)
{
	struct client_session *s = session_own(c);

	if (s == NULL)
		return STATEMENT_FAILED;
	if (s->scan == NULL && (s->scan = calloc(1, sizeof(*s->scan))) == NULL)
		return STATEMENT_FAILED;
	scan_init(s->scan, image_scan_options(c->image));
	scan_feed(s->scan, sql, have);
	s->is_parse_scanned = is_parse;
	c->is_body_scanned = true;
	return STATEMENT_FORWARD;
}

void
session_text(struct client *c, const uint8_t *bytes, size_t len, bool is_end)
{
	struct client_session *s = c->session;

	if (is_end) {
		const uint8_t *end = memchr(bytes, 0, len); /* of the text; a Parse goes on behind it */

		if (end != NULL)
			len = (size_t)(end - bytes);
	}
	scan_feed(s->scan, (const char *)bytes, len);
	if (!is_end)
		return;
	c->is_body_scanned = false;
	scan_end(s->scan);
	if (s->is_parse_scanned)
		s->passed_flags |= s->scan->flags;
	if (c->srv != NULL)
		suspect(c, s->scan);
	free(s->scan);
	s->scan = NULL;
}

static enum statement_step
query_instead(struct client *c, const struct known_text *text, const char *query, size_t len, unsigned *shown)
{
	struct buf sql = { 0 }, b = { 0 };
	enum statement_step step = STATEMENT_FAILED;

	buf_put(&sql, query, len);
	session_put_reset(c, text, &sql);
	message_put(&b, 'Q', sql.bytes, sql.len);
	if (buf_ok(&sql) && buf_ok(&b)) {
		outbox_copy(&c->env->to_server, b.bytes, b.len);
		*shown = text->count;
		step = STATEMENT_DONE;
	}
	buf_fini(&sql);
	buf_fini(&b);
	return step;
}

/* What we would add to the text would not be in the transaction of what it is for. */
static bool
ends_transaction(const struct known_text *text)
{
	for (unsigned i = 0; i < text->count; i++)
		if (text->statements[i].kind == KNOWN_BEGIN || text->statements[i].kind == KNOWN_COMMIT ||
		    text->statements[i].kind == KNOWN_ROLLBACK)
			return true;
	return false;
}

static enum statement_step
flagged_query(struct client *c, const char *sql, size_t len, const struct scan *scan, unsigned *shown)
{
	struct known_text text;
	enum statement_step step;

	if ((scan->flags & ~(uint32_t)SCAN_SEQUENCES) == 0)
		return session_is_followed(c) ? suspect(c, scan) : STATEMENT_FORWARD;
	if (session_own(c) == NULL)
		return STATEMENT_FAILED;
	if (!is_known(c, &text, sql, len, NULL, 0) || (ends_transaction(&text) && session_resets_startup(c, &text)))
		return session_is_followed(c) ? suspect(c, scan) : STATEMENT_FORWARD;
	step = note_all(c, &text, sql, len);
	if (step != STATEMENT_FORWARD || !session_resets_startup(c, &text))
		return step;
	return query_instead(c, &text, sql, len, shown);
}

enum statement_step
session_query(struct client *c, const char *sql, size_t have, size_t len, unsigned *shown)
{
	struct scan scan;

	if (!is_looked_at(c) || len == 0)
		return STATEMENT_FORWARD;
	if (have < len)
		return session_is_followed(c) ? begin_pieces(c, sql, have, false) : STATEMENT_FORWARD;
	len--; /* the terminator */
	if (session_ensure_prepared(c, sql, len, true) < 0)
		return STATEMENT_FAILED;
	if (scan_text(&scan, image_scan_options(c->image), sql, len) == 0)
		return STATEMENT_FORWARD;
	audit(c, scan.flags);
	return flagged_query(c, sql, len, &scan, shown);
}

/* --- the extended protocol --- */

enum statement_step
session_passed_parse(struct client *c, const char *sql, size_t have, size_t len)
{
	const char *end;
	struct scan scan;

	if (!session_is_followed(c) || session_own(c) == NULL)
		return session_is_followed(c) ? STATEMENT_FAILED : STATEMENT_FORWARD;
	if (have < len)
		return begin_pieces(c, sql, have, true);
	end = memchr(sql, 0, len);
	scan_text(&scan, image_scan_options(c->image), sql, end == NULL ? len : (size_t)(end - sql));
	c->session->passed_flags |= scan.flags;
	return STATEMENT_FORWARD;
}

void
session_audit_parse(struct client *c, const char *sql, size_t len)
{
	struct scan scan;

	if (c->entry->settings.session_state == SESSION_WARN)
		audit(c, scan_text(&scan, image_scan_options(c->image), sql, len));
}

/* Of a statement of the store; the first scan of it is kept, for sessions that read strings as most do. */
static uint32_t
flags_of(struct client *c, struct statement *st)
{
	unsigned options = image_scan_options(c->image);
	struct scan scan;

	if (options == 0 && st->is_scanned)
		return st->suspicion;
	scan_text(&scan, options, (const char *)st->bytes, st->query_len);
	if (options == 0) {
		st->suspicion = scan.flags;
		st->is_scanned = true;
	}
	return scan.flags;
}

static void
unbind(struct client_session *s)
{
	statement_unref(s->bound);
	s->bound = NULL;
	free(s->bound_known);
	s->bound_known = NULL;
}

/* The unnamed portal's text, if all of it is known: its effect is its Execute's. */
static bool
bind_known(struct client *c, struct statement *st, const uint8_t *body, size_t len)
{
	struct known_text text;

	if (!is_known(c, &text, (const char *)st->bytes, st->query_len, body, len))
		return false;
	c->session->bound_known = malloc(sizeof(text));
	if (c->session->bound_known == NULL)
		return false; /* it is suspected then */
	*c->session->bound_known = text;
	c->session->bound = statement_ref(st);
	return true;
}

/* Values that look like a setting's name, in the parameters of a Bind: a.b. */
static void
take_bound_names(struct client *c, const uint8_t *body, size_t len)
{
	char name[SCAN_WORD_MAX];
	const uint8_t *bytes;
	size_t n;

	for (unsigned i = 0; fields_bind_value(body, len, i, &bytes, &n); i++) {
		if (bytes == NULL || memchr(bytes, '.', n) == NULL || memchr(bytes, 0, n) != NULL)
			continue;
		if (n >= sizeof(name))
			continue; /* no setting is called so: PostgreSQL cuts identifiers */
		memcpy(name, bytes, n);
		name[n] = '\0';
		take_name(c->session, c->srv, name);
	}
}

static enum statement_step
bind_unknown(struct client *c, const char *name)
{
	struct scan scan = { .flags = 0 };
	const char *text;

	if (c->session != NULL)
		scan.flags = c->session->passed_flags;
	text = name[0] == '\0' ? NULL : image_get_prepared(c->image, name);
	if (text != NULL)
		return note_execute(c, name);
	return scan.flags == 0 ? STATEMENT_FORWARD : suspect(c, &scan);
}

/* Bind and Describe may be of a statement that SQL PREPARE made, or of one that executes such. */
static int
ensure_for(struct client *c, const struct statement *st, const char *name)
{
	if (st == NULL)
		return session_ensure_named(c, name);
	return session_ensure_prepared(c, (const char *)st->bytes, st->query_len, false);
}

enum statement_step
session_describe(struct client *c, const struct statement *st, const char *name)
{
	if (image_has_prepared(c->image) && ensure_for(c, st, name) < 0)
		return STATEMENT_FAILED;
	return STATEMENT_FORWARD;
}

enum statement_step
session_bind(struct client *c, struct statement *st, const char *portal, const char *name, const uint8_t *body,
	     size_t len)
{
	struct scan scan;

	if (!is_looked_at(c))
		return STATEMENT_FORWARD;
	if (image_has_prepared(c->image) && ensure_for(c, st, name) < 0)
		return STATEMENT_FAILED;
	if (c->session != NULL && portal[0] == '\0')
		unbind(c->session);
	if (st == NULL)
		return session_is_followed(c) ? bind_unknown(c, name) : STATEMENT_FORWARD;
	scan.flags = flags_of(c, st);
	scan.name_count = 0;
	if ((scan.flags & ~(uint32_t)SCAN_SEQUENCES) == 0)
		return scan.flags != 0 && session_is_followed(c) ? suspect(c, &scan) : STATEMENT_FORWARD;
	if (session_own(c) == NULL)
		return STATEMENT_FAILED;
	audit(c, flags_of(c, st));
	if ((portal[0] == '\0' && bind_known(c, st, body, len)) || !session_is_followed(c))
		return STATEMENT_FORWARD;
	scan_text(&scan, image_scan_options(c->image), (const char *)st->bytes, st->query_len);
	if (scan.flags & (SCAN_SETTING | SCAN_CODE))
		take_bound_names(c, body, len);
	if (scan.flags & SCAN_NAMES_LOST && c->session->name_count > 0)
		scan.flags &= ~(uint32_t)SCAN_NAMES_LOST; /* a parameter will be it */
	return suspect(c, &scan);
}

enum statement_step
session_before_execute(struct client *c, const char *portal)
{
	struct client_session *s = c->session;

	if (s->bound == NULL || portal[0] != '\0')
		return STATEMENT_FORWARD;
	return note_all(c, s->bound_known, (const char *)s->bound->bytes, s->bound->query_len);
}

int
session_after_execute(struct client *c, const char *portal)
{
	struct client_session *s = c->session;
	int r = 0;

	if (s->bound == NULL || portal[0] != '\0')
		return 0;
	if (session_resets_startup(c, s->bound_known))
		r = session_follow_reset(c, s->bound_known);
	unbind(s);
	return r;
}

/* Which function is known by its OID only. */
void
session_function_call(struct client *c)
{
	if (session_is_followed(c))
		c->srv->suspicion |= SCAN_CODE;
}

bool
session_holds(const struct client *c)
{
	return c->session->is_discard_sent && c->srv->ledger.count > 0;
}
