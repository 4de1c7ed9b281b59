/* src/config/nearest.c - see nearest.h. */
#include "config/nearest.h"

#include "bouncer/bouncer_state.h"
#include "config/config_keys.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static unsigned
min2(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* The usual table, three rows of it at a time: each cell is the distance between the beginnings of a and b. */
unsigned
edit_distance(const char *a, const char *b, unsigned limit)
{
	size_t a_len = strlen(a), b_len = strlen(b);
	unsigned rows[3][SUGGEST_WORD_MAX + 1];
	unsigned *two_up = rows[0], *up = rows[1], *row = rows[2], *spare;

	if (a_len > SUGGEST_WORD_MAX || b_len > SUGGEST_WORD_MAX || a_len > b_len + limit || b_len > a_len + limit)
		return limit + 1;
	for (unsigned j = 0; j <= b_len; j++)
		up[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = min2(min2(up[j], row[j - 1]) + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min2(row[j], two_up[j - 2] + 1);
		}
		spare = two_up;
		two_up = up;
		up = row;
		row = spare;
	}
	return min2(up[b_len], limit + 1);
}

struct nearest
nearest_to(const char *word)
{
	size_t len = strlen(word);
	struct nearest nearest = { .word = word };

	/* One above what is allowed: only something nearer is kept. */
	nearest.distance = len < 2 ? 1 : len < 5 ? 2 : 3;
	return nearest;
}

void
nearest_try(struct nearest *nearest, const char *candidate, const void *what)
{
	unsigned distance;

	if (nearest->distance == 0)
		return;
	distance = edit_distance(nearest->word, candidate, nearest->distance - 1);
	if (distance < nearest->distance) {
		nearest->distance = distance;
		nearest->name = candidate;
		nearest->what = what;
	}
}

/* What a key is called in the section at hand; NULL: it isn't there. */
static const char *
name_here(const struct config_key *key, const char *section, int in_scope)
{
	if (in_scope)
		return key->scope_name;
	return strcmp(key->section, section) == 0 ? key->name : NULL;
}

static void
say_foreign(const struct foreign_name *foreign, const char *section, int in_scope, char *out, size_t out_size)
{
	const struct config_key *key = foreign->here != NULL ? config_key_find(foreign->section, foreign->here) : NULL;
	const char *here = key != NULL ? name_here(key, section, in_scope) : NULL;

	if (key == NULL)
		snprintf(out, out_size, "\"%s\" is %s name; %s", foreign->name, foreign->product, foreign->note);
	else
		snprintf(out, out_size, "\"%s\" is %s name; here it is \"%s\"%s%s%s%s%s", foreign->name,
			 foreign->product, here != NULL ? here : key->name, here != NULL ? "" : " in [",
			 here != NULL ? "" : key->section, here != NULL ? "" : "]", foreign->note != NULL ? ", " : "",
			 foreign->note != NULL ? foreign->note : "");
}

/* Known, but not under this name. */
static bool
say_renamed(const char *section, int in_scope, const char *name, char *out, size_t out_size)
{
	const struct config_key *key;

	for (size_t i = 0; (key = config_key(i)) != NULL; i++) {
		if (key->scope_name == NULL || strcmp(key->scope_name, key->name) == 0)
			continue;
		if (in_scope && strcmp(key->name, name) == 0) {
			snprintf(out, out_size, "\"%s\" is called \"%s\" in [%s]", name, key->scope_name, section);
			return true;
		}
		if (!in_scope && strcmp(key->scope_name, name) == 0) {
			snprintf(out, out_size,
				 "\"%s\" is for databases and users; for all of them it is \"%s\" in [%s]", name,
				 key->name, key->section);
			return true;
		}
	}
	return false;
}

/* Known, but not here. */
static bool
say_elsewhere(const char *section, const char *name, char *out, size_t out_size)
{
	const struct config_key *key;
	size_t len = 0;

	if (strcmp(name, "upstream") == 0) {
		snprintf(out, out_size, "\"upstream\" belongs in a [database NAME] section, not in [%s]", section);
		return true;
	}
	for (size_t i = 0; (key = config_key(i)) != NULL && len < out_size; i++) {
		if (strcmp(key->name, name) != 0)
			continue;
		if (len == 0)
			len = (size_t)snprintf(out, out_size, "\"%s\" belongs in [%s]", name, key->section);
		else
			len += (size_t)snprintf(out + len, out_size - len, " or [%s]", key->section);
	}
	if (len > 0 && len < out_size)
		snprintf(out + len, out_size - len, ", not in [%s]", section);
	return len > 0;
}

/* A name of PgBouncer's, as a setting or in a connection string. Returns false if it has none of that name. */
static bool
find_bouncer_name(const char *name, int in_scope, struct foreign_name *out, char note[static FOREIGN_NOTE_MAX])
{
	const struct bouncer_word *word = bouncer_word_find(name, OF_DATABASE | OF_USER);
	const struct bouncer_key *key = bouncer_key_find(word != NULL && word->key != NULL ? word->key : name);

	*out = (struct foreign_name){ .name = name, .product = "PgBouncer's", .note = note };
	if (word != NULL && word->part != WORD_SETTING && (in_scope || key == NULL))
		snprintf(note, FOREIGN_NOTE_MAX, "%s",
			 "write it into upstream, for example upstream = host=db1 port=5432 dbname=app user=web");
	else if (key == NULL)
		return false;
	else if (key->section != NULL) {
		out->section = key->section;
		out->here = key->key;
		out->note = key->fate == BOUNCER_PART ? key->note : NULL;
	} else
		snprintf(note, FOREIGN_NOTE_MAX, "%s%s", key->fate == BOUNCER_IGNORED ? "not needed: " : "", key->note);
	return true;
}

static bool
find_foreign(const char *name, int in_scope, struct foreign_name *out, char note[static FOREIGN_NOTE_MAX])
{
	const struct foreign_name *foreign;

	if (find_bouncer_name(name, in_scope, out, note))
		return true;
	for (size_t i = 0; (foreign = foreign_name(i)) != NULL; i++)
		if (strcmp(foreign->name, name) == 0) {
			*out = *foreign;
			return true;
		}
	return false;
}

static const char *
nearest_foreign(const char *name)
{
	struct nearest nearest = nearest_to(name);
	const struct foreign_name *foreign;
	const struct bouncer_key *key;

	for (size_t i = 0; (key = bouncer_key(i)) != NULL; i++)
		nearest_try(&nearest, key->name, NULL);
	for (size_t i = 0; (foreign = foreign_name(i)) != NULL; i++)
		nearest_try(&nearest, foreign->name, NULL);
	return nearest.name;
}

/* Near to a name of this section, else of any section, else of another pooler. */
static void
say_nearest(const char *section, int in_scope, const char *name, char *out, size_t out_size)
{
	struct nearest here = nearest_to(name), anywhere = here;
	char note[FOREIGN_NOTE_MAX];
	struct foreign_name foreign;
	const struct config_key *key;
	const char *theirs;
	int len;

	for (size_t i = 0; (key = config_key(i)) != NULL; i++) {
		const char *known = name_here(key, section, in_scope);

		if (known != NULL)
			nearest_try(&here, known, key);
		nearest_try(&anywhere, key->name, key);
	}
	if (in_scope)
		nearest_try(&here, "upstream", NULL);
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
	else if ((theirs = nearest_foreign(name)) != NULL && find_foreign(theirs, in_scope, &foreign, note) &&
		 foreign.here != NULL)
		snprintf(out, out_size, "; did you mean %s \"%s\"? Here it is \"%s\" in [%s]", foreign.product, theirs,
			 foreign.here, foreign.section);
}

void
suggest_setting(const char *section, int in_scope, const char *name, char *out, size_t out_size)
{
	char note[FOREIGN_NOTE_MAX];
	struct foreign_name foreign;

	if (say_renamed(section, in_scope, name, out, out_size) || say_elsewhere(section, name, out, out_size))
		return;
	if (find_foreign(name, in_scope, &foreign, note))
		say_foreign(&foreign, section, in_scope, out, out_size);
	else
		say_nearest(section, in_scope, name, out, out_size);
}

static const struct {
	const char *name, *text;
} foreign_sections[] = {
	{ "pgbouncer", "is PgBouncer's name; here it is [pgweir], and [pool], [timeouts], [auth], [log]" },
	{ "databases", "is PgBouncer's; here each database has a section: [database app], and in it upstream = ..." },
	{ "users", "is PgBouncer's; here each user has a section: [user app]" },
	{ "peers", "is PgBouncer's; here it is the setting peers in section [pgweir]" },
	{ "general", "is PgDog's name; here it is [pgweir]" },
	{ "server", "is not known; PostgreSQL's address belongs in [database NAME]" },
	{ "storage", "is Odyssey's name; PostgreSQL's address belongs in [database NAME]" },
};

void
suggest_section(const char *section, char *out, size_t out_size)
{
	struct nearest nearest;
	const struct config_key *key;
	char word[SUGGEST_WORD_MAX + 2];

	for (size_t i = 0; i < sizeof(foreign_sections) / sizeof(foreign_sections[0]); i++) {
		if (strcmp(foreign_sections[i].name, section) == 0) {
			snprintf(out, out_size, "section [%s] %s", section, foreign_sections[i].text);
			return;
		}
	}
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(section, " \t"), section);
	nearest = nearest_to(word);
	for (size_t i = 0; (key = config_key(i)) != NULL; i++)
		nearest_try(&nearest, key->section, NULL);
	nearest_try(&nearest, "database", " NAME");
	nearest_try(&nearest, "tenant", " NAME");
	nearest_try(&nearest, "user", " NAME");
	snprintf(out, out_size, "unknown section [%.128s]%s%s%s%s", section,
		 nearest.name != NULL ? "; did you mean [" : "", nearest.name != NULL ? nearest.name : "",
		 nearest.what != NULL ? (const char *)nearest.what : "", nearest.name != NULL ? "]?" : "");
}
