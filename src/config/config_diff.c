/* src/config/config_diff.c - the changes that a reload makes (config_diff()) or can't make (config_keep_fixed()). */
#include "base/alloc.h"
#include "base/text.h"
#include "config/config_origin.h"
#include "config/config_value.h"

#define VALUE_MAX 160 /* bytes of a value that a text shows */

void
config_keep_fixed(struct config *fresh, const struct config *in_force)
{
	const struct config_key *key;
	struct fail why;

	for (size_t row = 0; (key = config_key_at(row)) != NULL; row++) {
		struct buf old_text = { 0 }, new_text = { 0 };
		const char *old, *new;

		if (key->is_reloadable)
			continue;
		key_put(key, key_base_const(key, in_force), &old_text);
		key_put(key, key_base_const(key, fresh), &new_text);
		old = value_put_end(&old_text);
		new = value_put_end(&new_text);
		if (strcmp(old, new) != 0 && key_store(key, key_base(key, fresh), old, "/", &why) == 0)
			fresh->origins->pendings[row] = xstrdup(new);
		buf_fini(&old_text);
		buf_fini(&new_text);
	}
}

/* --- two configurations as lists of lines, in order of name --- */

struct entry {
	char *name, *value, *pending; /* value is NULL if the entry is a whole section */
	char *hidden; /* value with its secret in place of ***; may be NULL if value has no *** */
	size_t place; /* the index before sorting, which orders entries of the same name */
};

struct list {
	struct entry *entries;
	size_t count;
};

static struct entry *
add(struct list *list, const char *section, const char *key)
{
	struct entry *e;

	list->entries = xwith_room(list->entries, list->count, sizeof(*list->entries));
	e = &list->entries[list->count];
	*e = (struct entry){ .name = key == NULL ? xstrdup(section) : xasprintf("%s.%s", section, key),
			     .place = list->count };
	list->count++;
	return e;
}

static void
add_row(const struct config_row *row, void *arg)
{
	struct entry *e = add(arg, row->section, row->key);

	e->value = xstrdup(row->value != NULL ? row->value : "");
	e->pending = row->pending != NULL ? xstrdup(row->pending) : NULL;
	e->hidden = row->hidden != NULL ? xstrdup(row->hidden) : NULL;
}

static int
compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

static void
entry_fini(struct entry *e)
{
	free(e->name);
	free(e->value);
	secret_free(e->hidden);
	free(e->pending);
}

static struct list
list_entries(const struct config *config)
{
	struct list list = { 0 };
	size_t kept = 0;

	config_each(config, add_row, &list);
	for (struct config_section s = { 0 }; config_next_section(config, &s);) {
		char *section = xasprintf("%s %s", s.word, s.scope->name);

		add(&list, section, NULL);
		free(section);
	}
	qsort(list.entries, list.count, sizeof(*list.entries), compare_entries);
	/* Entries of the same name (listen may occur several times) become one entry, "a, b". */
	for (size_t i = 0; i < list.count; i++) {
		struct entry *last = kept > 0 ? &list.entries[kept - 1] : NULL, *e = &list.entries[i];
		char *both;

		if (last == NULL || strcmp(last->name, e->name) != 0) {
			list.entries[kept++] = *e;
			continue;
		}
		both = xasprintf("%s, %s", last->value, e->value);
		free(last->value);
		last->value = both;
		entry_fini(e);
	}
	list.count = kept;
	return list;
}

static void
list_fini(struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		entry_fini(&list->entries[i]);
	free(list->entries);
}

struct diff {
	const struct config *old, *fresh;
	void (*change)(const char *text, void *arg);
	void *arg;
};

static const char *
or_empty(const char *value)
{
	return *value != '\0' ? value : "(empty)";
}

/* Takes ownership of text. */
static void
say_text(const struct diff *d, char *text)
{
	d->change(text, d->arg);
	free(text);
}

static void
say(const struct diff *d, const char *name, const char *from, const char *to, const char *note)
{
	say_text(d, xasprintf("%s: %.*s%s -> %.*s%s%s", name, VALUE_MAX, or_empty(from),
			      strlen(from) > VALUE_MAX ? "..." : "", VALUE_MAX, or_empty(to),
			      strlen(to) > VALUE_MAX ? "..." : "", note));
}

/* Reports an entry that only one configuration has: a whole section, or a setting. */
static void
say_one_sided(const struct diff *d, const struct entry *e, bool is_new)
{
	if (e->value == NULL)
		say_text(d, xasprintf("%s: %s", e->name, is_new ? "added" : "removed"));
	else
		say_text(d, xasprintf("%s: %s %.*s", e->name, is_new ? "set to" : "no longer set, it was", VALUE_MAX,
				      or_empty(e->value)));
}

/* Reports changes of upstreams' passwords, for which config_each() shows only ***. Both lists are sorted by name. */
static void
say_password_changes(const struct diff *d, const char *word, const struct config_scope *old, size_t old_count,
		     const struct config_scope *new, size_t new_count)
{
	for (size_t i = 0, j = 0; i < old_count && j < new_count;) {
		int order = strcmp(old[i].name, new[j].name);

		if (order == 0 && old[i].upstream != NULL && new[j].upstream != NULL &&
		    strcmp(old[i].upstream->password, new[j].upstream->password) != 0)
			say_text(d, xasprintf("%s %s: another password", word, new[j].name));
		i += order <= 0;
		j += order >= 0;
	}
}

static void
say_changes(const struct diff *d, const struct entry *old, const struct entry *new)
{
	if (old->value == NULL || new->value == NULL)
		return;
	if (strcmp(old->value, new->value) != 0)
		say(d, new->name, old->value, new->value, "");
	else if (strcmp(old->hidden != NULL ? old->hidden : "", new->hidden != NULL ? new->hidden : "") != 0)
		say_text(d, xasprintf("%s: changed", new->name));
	if (new->pending != NULL && (old->pending == NULL || strcmp(old->pending, new->pending) != 0))
		say(d, new->name, new->value, new->pending, " (pending restart)");
	else if (new->pending == NULL && old->pending != NULL)
		say_text(d, xasprintf("%s: back to %s; no restart needed", new->name, or_empty(new->value)));
}

void
config_diff(const struct config *old, const struct config *fresh, void (*change)(const char *text, void *arg),
	    void *arg)
{
	const struct diff d = { old, fresh, change, arg };
	struct list was = list_entries(old), is = list_entries(fresh);
	size_t i = 0, j = 0;

	while (i < was.count || j < is.count) {
		int order = i == was.count ? 1 : j == is.count ? -1 : strcmp(was.entries[i].name, is.entries[j].name);

		if (order == 0)
			say_changes(&d, &was.entries[i++], &is.entries[j++]);
		else if (order < 0)
			say_one_sided(&d, &was.entries[i++], false);
		else
			say_one_sided(&d, &is.entries[j++], true);
	}
	say_password_changes(&d, "database", old->databases, old->database_count, fresh->databases,
			     fresh->database_count);
	say_password_changes(&d, "tenant", old->tenant_scopes, old->tenant_count, fresh->tenant_scopes,
			     fresh->tenant_count);
	list_fini(&was);
	list_fini(&is);
}
