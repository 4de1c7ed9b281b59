#include "auth/hba.h"
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdint.h>

/* A line of the file. */
struct entry {
	char *map, *name, *user;
	struct rule_regex *name_regex, *user_regex; /* each is NULL unless its string begins with a slash */
	bool is_any_user, is_role; /* is_role: `user` is a plus and the name of a role */
};

struct ident {
	atomic_uint ref_count;
	struct entry *entries;
	size_t count;
};

struct builder {
	struct ident *ident;
	struct rule_reading reading;
};

/* --- Life. --- */

static void
entry_fini(struct entry *e)
{
	free(e->map);
	free(e->name);
	free(e->user);
	rule_regex_free(e->name_regex);
	rule_regex_free(e->user_regex);
}

struct ident *
ident_ref(struct ident *ident)
{
	if (ident != NULL)
		atomic_fetch_add_explicit(&ident->ref_count, 1, memory_order_relaxed);
	return ident;
}

void
ident_unref(struct ident *ident)
{
	if (ident == NULL || atomic_fetch_sub_explicit(&ident->ref_count, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < ident->count; i++)
		entry_fini(&ident->entries[i]);
	free(ident->entries);
	free(ident);
}

/* --- Reading. --- */

static bool
take_entry(struct builder *b, const struct rule_line *line, struct entry *e)
{
	const struct rule_field *f = line->fields;

	if (line->count != 3 || f[0].count != 1 || f[1].count != 1 || f[2].count != 1)
		return rule_report_error(
		    &b->reading, line,
		    "a line must have three fields: map name, system user name and database user name");
	e->map = xstrdup(f[0].words->text);
	e->name = xstrdup(f[1].words->text);
	e->user = xstrdup(f[2].words->text);
	e->is_any_user = rule_word_is(f[2].words, "all");
	if ((e->name[0] == '/' && !rule_take_regex(&b->reading, line, f[1].words, &e->name_regex)) ||
	    (e->user[0] == '/' && !rule_take_regex(&b->reading, line, f[2].words, &e->user_regex)))
		return false;
	if (e->name_regex != NULL && e->user_regex == NULL && strstr(e->user, "\\1") != NULL &&
	    !rule_regex_has_parentheses(e->name_regex))
		return rule_report_error(&b->reading, line,
					 "\"%.100s\" has no parentheses that the \\1 in \"%.100s\" could stand for",
					 e->name, e->user);
	/* As in PostgreSQL, a word in which \1 is replaced has no special meaning. */
	e->is_role =
	    !f[2].words->is_quoted && e->user[0] == '+' && (e->name_regex == NULL || strstr(e->user, "\\1") == NULL);
	return !e->is_role || rule_check_role(&b->reading, line, e->user + 1);
}

static void
add_entry(const struct rule_line *line, void *arg)
{
	struct builder *b = arg;
	struct ident *ident = b->ident;
	struct entry e = { 0 };

	ident->entries = xwith_room(ident->entries, ident->count, sizeof(*ident->entries));
	if (take_entry(b, line, &e))
		ident->entries[ident->count++] = e;
	else
		entry_fini(&e);
}

struct ident *
ident_load(const char *text, size_t text_len, const char *path, rule_report *report, void *arg)
{
	struct builder b = { .ident = xcalloc(1, sizeof(*b.ident)), .reading = { .report = report, .arg = arg } };

	atomic_init(&b.ident->ref_count, 1);
	rule_read(text, text_len, path, add_entry, &b.reading, &b);
	if (b.reading.errors == 0)
		return b.ident;
	ident_unref(b.ident);
	return NULL;
}

/* --- Questions. --- */

/* Returns true if the user column fits. The column's first \1 stands for the text that the first parentheses matched:
 * `begin` to `end` in `name`, or both SIZE_MAX if the parentheses took no part. */
static bool
fits_user(const struct entry *e, const char *name, size_t begin, size_t end, const char *user)
{
	const char *gap = e->name_regex == NULL ? NULL : strstr(e->user, "\\1");
	size_t before = gap == NULL ? 0 : (size_t)(gap - e->user), len = end - begin;

	if (e->is_any_user)
		return true;
	if (e->user_regex != NULL)
		return rule_regex_match(e->user_regex, user, NULL, NULL);
	if (gap == NULL)
		return strcmp(e->user, user) == 0;
	return begin != SIZE_MAX && strncmp(user, e->user, before) == 0 &&
	       strncmp(user + before, name + begin, len) == 0 && strcmp(user + before + len, gap + 2) == 0;
}

enum hba_fit
ident_allows(const struct ident *ident, const char *map, const char *name, const char *user, hba_lookup *is_member,
	     void *arg)
{
	enum hba_fit fit = HBA_NO;

	if (map == NULL || map[0] == '\0')
		return strcmp(name, user) == 0 ? HBA_YES : HBA_NO;
	for (size_t i = 0; ident != NULL && i < ident->count && fit == HBA_NO; i++) {
		const struct entry *e = &ident->entries[i];
		size_t begin = SIZE_MAX, end = SIZE_MAX;

		if (strcmp(e->map, map) != 0)
			continue;
		if (e->name_regex != NULL ? !rule_regex_match(e->name_regex, name, &begin, &end)
					  : strcmp(e->name, name) != 0)
			continue;
		if (e->is_role)
			fit = is_member == NULL ? HBA_NO : is_member(e->user + 1, arg);
		else if (fits_user(e, name, begin, end, user))
			fit = HBA_YES;
	}
	return fit;
}

bool
ident_has_roles(const struct ident *ident)
{
	for (size_t i = 0; ident != NULL && i < ident->count; i++)
		if (ident->entries[i].is_role)
			return true;
	return false;
}

bool
ident_has_map(const struct ident *ident, const char *map)
{
	for (size_t i = 0; ident != NULL && i < ident->count; i++)
		if (strcmp(ident->entries[i].map, map) == 0)
			return true;
	return false;
}
