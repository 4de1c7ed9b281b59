/*
 * src/session/gucs_changes.c - the messages that turn a server's GUC set into another; see gucs.h.
 *
 * set_config() accepts a value as ParameterStatus reports it, even a list (SET would take a quoted list for one
 * element). All changes are made in one implicit transaction, so an error leaves the server as it was.
 */
#include "session/gucs_effects.h"
#include "wire/messages.h"

#include <string.h>

void
guc_put_identifier(struct buf *out, const char *name, bool is_qualified)
{
	buf_put_u8(out, '"');
	for (; *name != '\0'; name++) {
		if (*name == '.' && is_qualified)
			buf_put(out, "\".\"", 3);
		else if (*name == '"')
			buf_put(out, "\"\"", 2);
		else
			buf_put_u8(out, (uint8_t)*name);
	}
	buf_put_u8(out, '"');
}

/* The messages that are being written, and the number of triples of Parse, Bind and Execute among them. */
struct changes {
	struct buf *out;
	size_t triples;
};

static void
put_triple(struct changes *ch, const char *sql, const char *const *values, size_t count)
{
	message_run(ch->out, "", "", sql, values, count);
	ch->triples++;
}

static void
put_reset(struct changes *ch, const char *name)
{
	struct buf sql = { 0 };

	buf_printf(&sql, "RESET " MESSAGE_OURS);
	guc_put_identifier(&sql, name, true);
	buf_put_u8(&sql, 0);
	if (buf_ok(&sql))
		put_triple(ch, (const char *)sql.bytes, NULL, 0);
	else
		ch->out->is_broken = true;
	buf_fini(&sql);
}

/* Settings that decide whom the session acts as, in the order in which they are set: setting the first one resets the
 * second. */
static const char *const identities[] = { "session_authorization", "role" };
#define IDENTITIES (sizeof(identities) / sizeof(identities[0]))

bool
guc_is_identity(const struct guc *s)
{
	return s->kind == GUC_OTHER &&
	       (strcasecmp(s->name, identities[0]) == 0 || strcasecmp(s->name, identities[1]) == 0);
}

static bool
is_reset(const struct guc *s)
{
	return strcmp(s->value, GUC_RESET) == 0;
}

/* Returns true if s must be reset. The seed of random() is left as it is: since PostgreSQL 16 nothing resets it. */
static bool
is_to_be_undone(const struct guc *s, const struct gucs *to)
{
	return s->kind == GUC_OTHER && !guc_is_identity(s) && !is_reset(s) && gucs_find(to, s->name) == NULL &&
	       strcasecmp(s->name, "seed") != 0;
}

/*
 * Returns true if RESET ALL, which never fails, must be used in place of RESET, which may fail in two cases: for a
 * custom setting, if an extension has claimed its prefix since; and for a setting that only superusers may set, if the
 * last client acted as a superuser. With has_connect_query_settings, RESET ALL would reset connect_query's settings,
 * too, so it is used only if custom settings must be undone.
 */
static bool
must_reset_all(const struct gucs *from, const struct gucs *to, bool has_connect_query_settings)
{
	for (size_t i = 0; i < gucs_count(from); i++) {
		const struct guc *s = gucs_at(from, i);

		if (is_to_be_undone(s, to) && (strchr(s->name, '.') != NULL ||
					       (!has_connect_query_settings && !guc_may_be_set_by_anybody(s->name))))
			return true;
	}
	return false;
}

static void
put_resets(struct changes *ch, const struct gucs *from, const struct gucs *to, bool is_all)
{
	/* The present role may lack the right to change the settings below, so the session first goes back to the user
	 * that logged in. */
	for (size_t i = 0; i < IDENTITIES; i++)
		if (gucs_get(from, identities[i]) != NULL)
			put_reset(ch, identities[i]);
	if (is_all)
		put_triple(ch, "RESET " MESSAGE_OURS "ALL", NULL, 0);
	for (size_t i = 0; i < gucs_count(from) && !is_all; i++)
		if (is_to_be_undone(gucs_at(from, i), to))
			put_reset(ch, gucs_at(from, i)->name);
}

struct assignments {
	struct buf sql;
	size_t count; /* number of values */
	const char *values[2 * (GUCS_MAX + IDENTITIES)];
};

static void
assign(struct assignments *a, const char *name, const char *value)
{
	buf_printf(&a->sql, "%spg_catalog.set_config($%zu, $%zu, false)", a->count == 0 ? "" : ", ", a->count + 1,
		   a->count + 2);
	a->values[a->count++] = name;
	a->values[a->count++] = value;
}

/* Returns true if s must be sent. With is_all, nothing of `from` is left on the server. */
static bool
is_to_be_sent(const struct gucs *from, const struct guc *s, const struct gucs *always, bool is_all)
{
	return is_all || !gucs_has(from, s) || (always != NULL && gucs_find(always, s->name) != NULL);
}

/* Names and values are in their client's encoding, so the encoding is set before PostgreSQL reads any of them. */
static void
put_encoding(struct changes *ch, const struct gucs *from, const struct gucs *to, const struct gucs *always, bool is_all)
{
	const struct guc *s = gucs_find(to, "client_encoding");

	if (s != NULL && is_to_be_sent(from, s, always, is_all))
		put_triple(ch, "SELECT " MESSAGE_OURS "pg_catalog.set_config($1, $2, false)",
			   (const char *const[]){ "client_encoding", s->value }, 2);
}

static void
put_settings(struct changes *ch, const struct gucs *from, const struct gucs *to, const struct gucs *always, bool is_all,
	     bool is_guarded)
{
	const struct guc *path = gucs_find(to, "search_path");
	struct assignments a = { .count = 0 };

	buf_printf(&a.sql, "SELECT " MESSAGE_OURS "%s",
		   is_guarded ? "pg_catalog.set_config('exit_on_error', 'on', true), " : "");
	/* first, because other settings may name objects that are found by search_path */
	if (path != NULL && is_to_be_sent(from, path, always, is_all))
		assign(&a, path->name, path->value);
	for (size_t i = 0; i < gucs_count(to); i++) {
		const struct guc *s = gucs_at(to, i);

		if (s == path || guc_is_identity(s) || strcasecmp(s->name, "client_encoding") == 0)
			continue;
		if (is_to_be_sent(from, s, always, is_all))
			assign(&a, s->name, is_reset(s) ? NULL : s->value); /* NULL does what RESET does */
	}
	for (size_t i = 0; i < IDENTITIES; i++)
		if (gucs_get(to, identities[i]) != NULL)
			assign(&a, identities[i], gucs_get(to, identities[i]));
	buf_put_u8(&a.sql, 0);
	if (!buf_ok(&a.sql))
		ch->out->is_broken = true;
	else if (a.count > 0)
		put_triple(ch, (const char *)a.sql.bytes, a.values, a.count);
	buf_fini(&a.sql);
}

size_t
gucs_put_changes(struct buf *out, const struct gucs *from, const struct gucs *to, const struct gucs *always,
		 bool has_connect_query_settings, bool is_guarded)
{
	struct changes ch = { out, 0 };
	bool is_all;

	if (from == to && always == NULL)
		return 0;
	is_all = must_reset_all(from, to, has_connect_query_settings);
	put_resets(&ch, from, to, is_all);
	put_encoding(&ch, from, to, always, is_all);
	put_settings(&ch, from, to, always, is_all, is_guarded);
	return ch.triples;
}
