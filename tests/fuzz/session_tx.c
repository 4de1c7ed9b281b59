/*
 * tests/fuzz/session_tx.c - what a transaction of the fake PostgreSQL takes back when it is rolled back: settings,
 * temporary objects, cursors, LISTEN, NOTIFY. Locks, SQL-prepared statements and the seed stay, as they do in
 * PostgreSQL.
 *
 * Each statement runs in a transaction, be it one that ends with its request; saves[0] is how it began, the others are
 * savepoints.
 */
#include "session_server.h"

#include "wire/messages.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static char *
copy_of(const char *text)
{
	char *copy = text == NULL ? NULL : strdup(text);

	must(text == NULL || copy != NULL);
	return copy;
}

static void
values_copy(const struct fake_values *from, struct fake_values *to)
{
	*to = *from;
	for (size_t i = 0; i < REPORTS; i++)
		to->reports[i] = copy_of(from->reports[i]);
	for (size_t i = 0; i < from->setting_count; i++) {
		to->settings[i].name = copy_of(from->settings[i].name);
		to->settings[i].value = copy_of(from->settings[i].value);
	}
}

void
values_free(struct fake_values *v)
{
	for (size_t i = 0; i < REPORTS; i++)
		free(v->reports[i]);
	for (size_t i = 0; i < v->setting_count; i++) {
		free(v->settings[i].name);
		free(v->settings[i].value);
	}
	*v = (struct fake_values){ 0 };
}

/* The session has these values again. */
static void
restore(struct fake_conn *c, const struct fake_values *from)
{
	struct fake_values old = c->v;

	values_copy(from, &c->v);
	values_free(&old);
}

/* What does not outlive the transaction is over. */
static void
forget_locals(struct fake_conn *c)
{
	struct fake_values kept;

	if (!c->has_locals)
		return;
	kept = c->after;
	c->after = (struct fake_values){ 0 };
	c->has_locals = false;
	kept.has_temporary = c->v.has_temporary;
	kept.has_cursor = c->v.has_cursor;
	restore(c, &kept);
	values_free(&kept);
}

static void
drop_saves(struct fake_conn *c, size_t left)
{
	while (c->save_count > left) {
		values_free(&c->saves[--c->save_count].v);
		values_free(&c->saves[c->save_count].after);
	}
}

static void
save(struct fake_conn *c, const char *name)
{
	struct fake_save *s = &c->saves[c->save_count++];

	*s = (struct fake_save){ .has_locals = c->has_locals,
				 .notify_len = c->notify.len,
				 .write_count = c->fake->cluster.write_count,
				 .code = c->code };
	snprintf(s->name, sizeof(s->name), "%s", name);
	memcpy(s->traces, c->traces, sizeof(s->traces));
	memcpy(s->channels, c->channels, sizeof(s->channels));
	values_copy(&c->v, &s->v);
	if (c->has_locals)
		values_copy(&c->after, &s->after);
}

static void
go_back_to(struct fake_conn *c, size_t i)
{
	static const enum trace taken_back[] = { TRACE_TEMP, TRACE_CURSOR, TRACE_LISTEN };
	const struct fake_save *s = &c->saves[i];

	values_free(&c->after);
	c->has_locals = s->has_locals;
	if (s->has_locals)
		values_copy(&s->after, &c->after);
	for (size_t t = 0; t < sizeof(taken_back) / sizeof(taken_back[0]); t++)
		c->traces[taken_back[t]] = s->traces[taken_back[t]];
	memcpy(c->channels, s->channels, sizeof(c->channels));
	c->notify.len = s->notify_len;
	c->code = s->code;
	cluster_undo(c, s->write_count);
	restore(c, &s->v);
	drop_saves(c, i + 1);
}

void
tx_notify(struct fake_conn *c, const char *channel, const char *payload)
{
	buf_put_str(&c->notify, channel);
	buf_put_str(&c->notify, payload);
	must(buf_ok(&c->notify));
}

static void
notify_all(struct fake_conn *c)
{
	const char *at = (const char *)c->notify.bytes, *end;

	if (at == NULL)
		return;
	end = at + c->notify.len;
	while (at < end) {
		const char *payload = at + strlen(at) + 1;

		fake_notify(c->fake, c->pid, at, payload);
		at = payload + strlen(payload) + 1;
	}
	c->notify.len = 0;
}

void
tx_open(struct fake_conn *c)
{
	if (c->save_count == 0)
		save(c, "");
}

void
tx_end(struct fake_conn *c, bool is_commit)
{
	if (c->save_count > 0 && !is_commit)
		go_back_to(c, 0);
	cluster_end(c, is_commit);
	state_commit_code(c);
	drop_saves(c, 0);
	forget_locals(c);
	notify_all(c);
}

void
tx_free(struct fake_conn *c)
{
	cluster_end(c, false);
	drop_saves(c, 0);
	values_free(&c->after);
	c->has_locals = false;
	buf_fini(&c->notify);
}

/* From 1 on; 0: there is none of this name. */
static size_t
find(const struct fake_conn *c, const char *name)
{
	size_t i = c->save_count;

	while (i > 1 && strcasecmp(c->saves[i - 1].name, name) != 0)
		i--;
	return i < 2 ? 0 : i - 1;
}

bool
tx_savepoint(struct fake_conn *c, enum savepoint_verb verb, const char *name)
{
	size_t i = find(c, name);

	if (verb == SAVEPOINT_MAKE) {
		if (c->save_count == SAVES_MAX)
			return false;
		save(c, name);
		return true;
	}
	if (i == 0)
		return false;
	if (verb == SAVEPOINT_RELEASE)
		drop_saves(c, i);
	else
		go_back_to(c, i);
	return true;
}

/* A setting is changed for good: also what comes back after the transaction. */
void
tx_set_for_good(struct fake_conn *c, void (*change)(struct fake_conn *c, const void *arg), const void *arg)
{
	struct fake_values now;

	if (c->has_locals) {
		now = c->v;
		c->v = c->after;
		change(c, arg);
		c->after = c->v;
		c->v = now;
	}
	change(c, arg);
}

void
tx_begin_locals(struct fake_conn *c)
{
	if (c->has_locals)
		return;
	values_copy(&c->v, &c->after);
	c->has_locals = true;
}
