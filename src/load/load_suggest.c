/*
 * src/load/load_suggest.c - messages about an unknown name. A message suggests a similar setting, the section that has
 * the setting, or pgweir's name for a setting of another program's file (file_format.h). docs/migrating.md lists other
 * poolers' names.
 */
#include "load/file_format.h"
#include "base/buf.h"
#include "base/text.h"
#include "config/config_keys.h"
#include "load/load_state.h"

#include <stdio.h>

/* Returns the name that a key has in this section; NULL if the section does not have it. */
static const char *
name_here(const struct config_key *key, const char *section, bool is_scoped_section)
{
	if (is_scoped_section)
		return key->scope_name;
	return strcmp(key->section, section) == 0 ? key->name : NULL;
}

/* Writes a message if `name` is right in [SECTION], but not in sections of databases and users, or the reverse. */
static bool
say_renamed(const char *section, bool is_scoped_section, const char *name, char *out, size_t out_size)
{
	const struct config_key *key;

	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
		if (key->scope_name == NULL || strcmp(key->scope_name, key->name) == 0)
			continue;
		if (is_scoped_section && strcmp(key->name, name) == 0) {
			snprintf(out, out_size, "\"%s\" is called \"%s\" in [%s]", name, key->scope_name, section);
			return true;
		}
		if (!is_scoped_section && strcmp(key->scope_name, name) == 0) {
			snprintf(out, out_size,
				 "\"%s\" is for databases and users; for all of them it is \"%s\" in [%s]", name,
				 key->name, key->section);
			return true;
		}
	}
	return false;
}

/* Returns true if name is first, "_" and second, as log_level is for level in [log]. */
static bool
is_joined(const char *name, const char *first, const char *second)
{
	size_t len = strlen(first);

	return strncmp(name, first, len) == 0 && name[len] == '_' && strcmp(name + len + 1, second) == 0;
}

static bool
is_abbreviation_here(const char *section, const char *name)
{
	const struct config_key *key;

	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++)
		if (strcmp(key->section, section) == 0 && nearest_is_abbreviation(name, key->name))
			return true;
	return false;
}

/*
 * Writes a message if `name` is SECTION_KEY for a setting KEY of [SECTION], or if `section`_`name` is a setting of some
 * section. In the second case, skips other sections if `name` may be an abbreviation of a setting of `section`.
 */
static bool
say_joined(const char *section, const char *name, char *out, size_t out_size)
{
	const struct config_key *key;

	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
		const bool is_here = strcmp(key->section, section) == 0;

		if (!is_joined(name, key->section, key->name) &&
		    (!is_joined(key->name, section, name) || (!is_here && is_abbreviation_here(section, name))))
			continue;
		snprintf(out, out_size, "unknown setting \"%.64s\" in [%s]; did you mean \"%s\"%s%s%s?", name, section,
			 key->name, is_here ? "" : " in [", is_here ? "" : key->section, is_here ? "" : "]");
		return true;
	}
	return false;
}

/* Appends the settings of this section that may have been meant. */
static void
put_near(const char *section, const char *name, const struct config_key *elsewhere, struct buf *to)
{
	const struct config_key *key;
	unsigned count = 0;

	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
		/* A single word may mean this setting if the word is short for the setting's name, or if this setting
		 * and `elsewhere` are both paths. */
		if (strcmp(key->section, section) != 0 || strpbrk(name, "_-") != NULL ||
		    !(nearest_is_abbreviation(name, key->name) ||
		      (elsewhere->type == KEY_PATH && key->type == KEY_PATH)))
			continue;
		if (count++ == 0)
			buf_printf(to, "; [%s] has \"%s\"", section, key->name);
		else
			buf_printf(to, ", \"%s\"", key->name);
	}
}

/* If other sections have the setting, writes a message with these, and with settings here that may have been meant. */
static bool
say_elsewhere(const char *section, const char *name, char *out, size_t out_size)
{
	const struct config_key *key, *elsewhere = NULL;
	struct buf text = { 0 };

	if (strcmp(name, "upstream") == 0) {
		snprintf(out, out_size, "\"upstream\" belongs in a [database NAME] section, not in [%s]", section);
		return true;
	}
	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
		if (strcmp(key->name, name) != 0)
			continue;
		if (elsewhere == NULL)
			buf_printf(&text, "\"%s\" belongs in [%s]", name, key->section);
		else
			buf_printf(&text, " or [%s]", key->section);
		elsewhere = key;
	}
	if (elsewhere != NULL) {
		buf_printf(&text, ", not in [%s]", section);
		put_near(section, name, elsewhere, &text);
		snprintf(out, out_size, "%.*s", (int)text.len, (const char *)text.bytes);
	}
	buf_fini(&text);
	return elsewhere != NULL;
}

/* Returns the file format that has a setting of this name, and sets *out to the name's meaning in pgweir. Returns NULL
 * if no format has the setting. */
static const struct file_format *
find_foreign(const char *name, bool is_scoped_section, struct foreign_name *out)
{
	for (size_t i = 0; file_formats[i] != NULL; i++) {
		*out = (struct foreign_name){ 0 };
		if (file_formats[i]->find(name, is_scoped_section, out))
			return file_formats[i];
	}
	return NULL;
}

/* Writes a message with the nearest name of this section, else of any section, else of another program's file. */
static void
say_nearest(const char *section, bool is_scoped_section, const char *name, char *out, size_t out_size)
{
	struct nearest here = nearest_to(name), anywhere = here, theirs = here;
	const struct file_format *format = NULL;
	struct foreign_name foreign;
	const struct config_key *key;
	int len;

	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
		const char *known = name_here(key, section, is_scoped_section);

		if (known != NULL)
			nearest_try(&here, known, key);
		/* A single word, such as min, is short for too many names of other sections. */
		if (!(strpbrk(name, "_-") == NULL && nearest_is_abbreviation(name, key->name) &&
		      nearest_distance(name, key->name, 2) > 2))
			nearest_try(&anywhere, key->name, key);
	}
	if (is_scoped_section)
		nearest_try(&here, "upstream", NULL);
	for (size_t i = 0; file_formats[i] != NULL; i++)
		file_formats[i]->try_names(&theirs);
	if (theirs.name != NULL)
		format = find_foreign(theirs.name, is_scoped_section, &foreign);
	len = snprintf(out, out_size, "unknown setting \"%.64s\" in [%s]", name, section);
	if (len < 0 || (size_t)len >= out_size)
		return;
	out += len;
	out_size -= (size_t)len;
	key = anywhere.what;
	if (here.name != NULL)
		snprintf(out, out_size, "; did you mean \"%s\"?", here.name);
	else if (anywhere.name != NULL)
		snprintf(out, out_size, "; did you mean \"%s\" in [%s]?", anywhere.name, key->section);
	else if (format != NULL && foreign.our_name != NULL)
		snprintf(out, out_size, "; did you mean %s's \"%s\"? Here it is \"%s\" in [%s]", format->program,
			 theirs.name, foreign.our_name, foreign.section);
	else
		snprintf(out, out_size, "; docs/config.md has all names, docs/migrating.md those of other poolers");
}

void
suggest_setting(const char *section, bool is_scoped_section, const char *name, char *out, size_t out_size)
{
	struct foreign_name foreign;
	const struct file_format *format = find_foreign(name, is_scoped_section, &foreign);

	if (say_renamed(section, is_scoped_section, name, out, out_size) ||
	    (!is_scoped_section && format == NULL && say_joined(section, name, out, out_size)) ||
	    say_elsewhere(section, name, out, out_size))
		return;
	if (format != NULL) {
		const struct config_key *key =
		    foreign.our_name != NULL ? config_key_find(foreign.section, foreign.our_name) : NULL;
		const char *here = key != NULL ? name_here(key, section, is_scoped_section) : NULL;

		if (key == NULL)
			snprintf(out, out_size, "\"%s\" is %s's name; %s", name, format->program, foreign.note);
		else
			snprintf(out, out_size, "\"%s\" is %s's name; here it is \"%s\"%s%s%s%s%s", name,
				 format->program, here != NULL ? here : key->name, here != NULL ? "" : " in [",
				 here != NULL ? "" : key->section, here != NULL ? "" : "]",
				 *foreign.note != '\0' ? ", " : "", foreign.note);
	} else
		say_nearest(section, is_scoped_section, name, out, out_size);
}

void
suggest_section(const char *section, char *out, size_t out_size)
{
	struct nearest nearest;
	const struct config_key *key;
	char word[SUGGEST_WORD_MAX + 2];

	for (size_t i = 0; file_formats[i] != NULL; i++)
		if (file_formats[i]->section_advice(section) != NULL) {
			snprintf(out, out_size, "section [%s] %s", section, file_formats[i]->section_advice(section));
			return;
		}
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(section, " \t"), section);
	nearest = nearest_to(word);
	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++)
		nearest_try(&nearest, key->section, NULL);
	nearest_try(&nearest, "database", " NAME");
	nearest_try(&nearest, "tenant", " NAME");
	nearest_try(&nearest, "user", " NAME");
	snprintf(out, out_size, "unknown section [%.128s]%s%s%s%s", section,
		 nearest.name != NULL ? "; did you mean [" : "", nearest.name != NULL ? nearest.name : "",
		 nearest.what != NULL ? (const char *)nearest.what : "", nearest.name != NULL ? "]?" : "");
}
