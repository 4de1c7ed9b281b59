/* src/load/file_format.h - the format of another program's configuration file, such as pgbouncer.ini. pgweir translates
 * the settings in the file into its own. The other program's names of settings are also accepted by the console's SET,
 * and explained in errors about pgweir's own file. modules/modules.h lists the formats. */
#pragma once

#include "config/config_origin.h"
#include "config/config_state.h"
#include "config/config_value.h"
#include "load/load.h"

#define FOREIGN_NOTE_MAX 160 /* bytes, with the terminator */

/* The meaning of a name in the other program's file. */
struct foreign_name {
	const char *section, *our_name; /* pgweir's setting; our_name is NULL if pgweir has no such setting */
	char note[FOREIGN_NOTE_MAX]; /* advice for an error message; may be empty if our_name is not NULL */
};

struct file_format {
	const char *program; /* "PgBouncer" */
	const char *no_database; /* the error message for a file that has no database */
	const struct problem_words *words; /* translates names in messages */
	bool (*recognizes)(const char *text, size_t len); /* returns true if text is in this format */
	/* Reads the file, and passes pgweir's settings to `calls`, section by section. The overrides replace values of
	 * the file. Errors go to sink. sink->source must not be NULL; this function fills *sink->source, so that errors
	 * name lines of the other program's files. */
	void (*read)(const char *text, size_t len, const char *path, const struct config_override *overrides,
		     size_t override_count, const struct reader_calls *calls, const struct problem_sink *sink);
	/* Reads the file at `path`, and writes it in pgweir's own format, with comments, to `to`. Returns false, with
	 * nothing written, if the file has errors. */
	bool (*import)(const char *path, struct config_problems *problems, FILE *to);
	void (*print_keys)(FILE *to); /* prints, as Markdown, how each setting of the format is translated */
	/* Returns pgweir's setting into which `name`, perhaps with others, is translated; NULL if there is none. */
	const struct config_key *(*key_of)(const char *name);
	/* Returns true with *out set if the format has a setting of this name. is_scoped_section is true if the name
	 * stands in the section of a database or user. */
	bool (*find)(const char *name, bool is_scoped_section, struct foreign_name *out);
	/* Returns an error message about a section `name` in pgweir's file; NULL if the format has no such section. */
	const char *(*section_advice)(const char *name);
	void (*try_names)(struct nearest *nearest); /* calls nearest_try() for each name, for "did you mean" */
	/* Appends the setting's value in pgweir's units. Returns 0, or -1 with *why set. Returns 1 with *why set if
	 * pgweir can't take this value, and has appended another value. */
	int (*convert)(const char *name, const char *value, struct buf *to, struct fail *why);
	/* Does what load_find_setting() does, but returns 1 if the format has no such name. is_format_in_use: the
	 * configuration file has this format. is_ours: pgweir has a setting of this name, too. */
	int (*find_setting)(bool is_format_in_use, bool is_ours, const char *name, const char *value,
			    struct load_setting *out, struct fail *why);
	/* Calls row() for each setting of the format, with its value and default as the other program writes them, even
	 * if the configuration comes from a file of another format. */
	void (*each)(const struct config *config,
		     void (*row)(void *arg, const char *name, const char *value, const char *fallback,
				 bool is_changeable),
		     void *arg);
};

extern const struct file_format *const file_formats[]; /* in modules/modules.c; the last element is NULL */

/* In load.c. Returns pgweir's setting into which another program's setting `name` is translated, and sets *format to
 * the format that has the name. If no format has the name, returns NULL and sets *format to NULL. */
const struct config_key *load_find_foreign(const char *name, const struct file_format **format);
/* In load_set.c. Returns true if `name` is a name of the setting, with or without its section ("pool.pool_size",
 * "pool_size"), or its name in a database's section. */
bool load_key_has_name(const struct config_key *key, const char *name);
/* In load_set.c. Sets *why to say that the setting can't be changed without a restart. Always returns -1. */
int load_fail_fixed(const char *name, struct fail *why);
