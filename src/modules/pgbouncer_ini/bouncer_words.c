/*
 * src/modules/pgbouncer_ini/bouncer_words.c - rewords advice to name settings as the configuration file does.
 *
 * Hints and problems are written with pgweir's names: "users_file in section [auth]". If the file is PgBouncer's,
 * settings that PgBouncer has get PgBouncer's names: "auth_file".
 */
#include "modules/pgbouncer_ini/pgbouncer_ini.h"

#include <string.h>

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz_0123456789"
#define OF_FILE " of pgweir.ini"

/* Returns PgBouncer's name for a setting of pgweir's, or NULL if PgBouncer has no such setting. If section is "", the
 * setting may be in any section, and the result is NULL if two sections have a setting of this name. */
static const char *
their_name(const char *section, size_t section_len, const char *name, size_t len)
{
	const struct bouncer_key *key, *found = NULL;

	for (size_t i = 0; (key = bouncer_key_at(i)) != NULL; i++) {
		if (key->section == NULL || strlen(key->key) != len || strncmp(key->key, name, len) != 0)
			continue;
		if (section_len > 0 &&
		    (strlen(key->section) != section_len || strncmp(key->section, section, section_len) != 0))
			continue;
		if (section_len == 0 && found != NULL && strcmp(found->section, key->section) != 0)
			return NULL;
		if (found == NULL)
			found = key;
	}
	return found != NULL ? found->name : NULL;
}

/* Returns true if the name is a whole word, and not a part of a quoted text, a path or an address. */
static bool
is_own_word(const char *text, const char *at, size_t len)
{
	char before = at > text ? at[-1] : ' ', after = at[len];

	return strchr("\"'/.=@-", before) == NULL && (after == '\0' || strchr("\"'/@-", after) == NULL);
}

/* Copies a part of text, with PgBouncer's names in place of pgweir's. Returns how many names were replaced. */
static unsigned
put_part(struct buf *to, const char *text, const char *part, size_t part_len, const char *section, size_t section_len)
{
	const char *end = part + part_len;
	unsigned count = 0;

	while (part < end) {
		size_t len = strspn(part, NAME_LETTERS);
		const char *theirs = NULL;

		if (len > (size_t)(end - part))
			len = (size_t)(end - part);
		if (len > 0 && is_own_word(text, part, len) && (section_len > 0 || memchr(part, '_', len) != NULL))
			theirs = their_name(section, section_len, part, len);
		count += theirs != NULL;
		if (theirs != NULL)
			buf_printf(to, "%s", theirs);
		else
			buf_put(to, part, len > 0 ? len : 1);
		part += len > 0 ? len : 1;
	}
	return count;
}

/* Returns the next " in section [S]" or " in [S]" from text on, or NULL if there is none. Sets *section to S, and
 * *after to the text after the place. */
static const char *
find_place(const char *text, const char **section, size_t *section_len, const char **after)
{
	for (const char *at = text; (at = strstr(at, " in ")) != NULL; at++) {
		*section = at + 4 + (strncmp(at + 4, "section ", 8) == 0 ? 8 : 0);
		*section_len = **section == '[' ? strspn(*section + 1, NAME_LETTERS) : 0;
		if (*section_len == 0 || (*section)[1 + *section_len] != ']')
			continue;
		++*section;
		*after = *section + *section_len + 1;
		if (strncmp(*after, OF_FILE, strlen(OF_FILE)) == 0)
			*after += strlen(OF_FILE);
		return at;
	}
	return NULL;
}

/* Returns where the last sentence, or part of a sentence, before end begins. */
static const char *
sentence_before(const char *text, const char *end)
{
	for (const char *at = end; at > text; at--)
		if ((at[-1] == '.' || at[-1] == ';' || at[-1] == ':') && *at == ' ')
			return at;
	return text;
}

static void
reword_advice(char *text, size_t size)
{
	const char *at = text, *place, *section, *after;
	struct buf out = { 0 };
	size_t section_len;

	while ((place = find_place(at, &section, &section_len, &after)) != NULL) {
		const char *from = sentence_before(at, place);

		put_part(&out, text, at, (size_t)(from - at), "", 0);
		if (put_part(&out, text, from, (size_t)(place - from), section, section_len) == 0)
			buf_put(&out, place, (size_t)(section + section_len + 1 - place));
		at = after;
	}
	put_part(&out, text, at, strlen(at), "", 0);
	if (buf_ok(&out) && out.len > 0)
		snprintf(text, size, "%.*s", (int)out.len, (const char *)out.bytes);
	buf_fini(&out);
}

static void
reword_change(const char *text, char *out, size_t size)
{
	size_t section_len = strspn(text, NAME_LETTERS);
	const char *name = text + section_len + 1, *theirs = NULL;

	if (section_len > 0 && text[section_len] == '.')
		theirs = their_name(text, section_len, name, strcspn(name, ":"));
	if (theirs != NULL)
		snprintf(out, size, "%s%s", theirs, name + strcspn(name, ":"));
	else
		snprintf(out, size, "%s", text);
}

static const char *
our_name(const char *theirs)
{
	const struct bouncer_key *key = bouncer_key_find(theirs);

	return key != NULL ? key->key : NULL;
}

const struct problem_words bouncer_problem_words = { reword_advice, reword_change, our_name };
