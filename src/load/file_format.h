/* src/load/file_format.h - the format of another program's configuration file, whose settings are translated into
 * pgweir's. Error messages for pgweir's own file, and the console's SET, know the names of that program's settings,
 * too. modules/modules.h lists these formats. */
#pragma once

#include "config/config_origin.h"
#include "config/config_state.h"
#include "config/config_value.h"
#include "load/load.h"

#define FOREIGN_NOTE_MAX 160

/* The meaning of a name in the other program's file. */
struct foreign_name {
	const char *section, *own_name; /* pgweir's setting; if own_name is NULL, note says what to do instead */
	char note[FOREIGN_NOTE_MAX]; /* may be empty */
};

struct file_format {
	const char *program; /* "PgBouncer" */
	const char *no_database; /* the message about a file without a database */
	const struct problem_words *words;
	bool (*is)(const char *text, size_t len); /* returns true if text is such a file */
	/* Reads the file and calls `calls` with pgweir's settings, section by section, with the overrides in place of
	 * the file's values. Errors go to sink. sink must have a source, which this function fills, so that errors name
	 * lines of the other program's files. */
	void (*read)(const char *text, size_t len, const char *path, const struct config_override *overrides,
		     size_t override_count, const struct reader_calls *calls, const struct problem_sink *sink);
	/* Writes the file as pgweir's own file, with comments. Returns false, with nothing written, if the file has
	 * errors. */
	bool (*import)(const char *path, struct config_problems *problems, FILE *to);
	void (*print_keys)(FILE *to); /* prints, as Markdown, how each setting of the format is translated */
	/* Returns the setting of pgweir's that the setting of this name becomes (or becomes a part of); NULL if there
	 * is none. */
	const struct config_key *(*key_of)(const char *name);
	/* Returns false if the format has no such name. in_scope says that the name stands in a section of a database
	 * or user. */
	bool (*find)(const char *name, bool in_scope, struct foreign_name *out);
	/* returns the message about a section of this name; NULL if the format has no such section */
	const char *(*section)(const char *name);
	void (*try_names)(struct nearest *nearest); /* tries the format's names, for "did you mean" */
	/* Converts value from the other program's units. Returns 0; 1 with *why set if another value was taken instead;
	 * or -1 with *why set. */
	int (*convert)(const char *name, const char *value, struct buf *to, struct fail *why);
	/* Does what load_find_setting() does; returns 1 if the format has no such name. is_file: the configuration file
	 * has this format; is_ours: pgweir has a setting of this name, too. */
	int (*find_setting)(bool is_file, bool is_ours, const char *name, const char *value, struct load_setting *out,
			    struct fail *why);
	/* Calls row() for each of the format's settings, with its value and default as the other program writes them.
	 * The file in use may be of any format. */
	void (*each)(const struct config *config,
		     void (*row)(void *arg, const char *name, const char *value, const char *fallback,
				 bool is_changeable),
		     void *arg);
};

extern const struct file_format *const file_formats[]; /* modules/modules.c; ends with NULL */

/* load.c: returns the setting of pgweir's that another program's setting becomes, and the format that has the name;
 * both are NULL if no format has it. */
const struct config_key *load_foreign_key(const char *name, const struct file_format **format);
/* load_set.c: returns true if name is a name of the setting: "pool.pool_size", "pool_size", or its name in a section of
 * a database. */
bool load_is_called(const struct config_key *key, const char *name);
/* load_set.c: returns -1 with *why set: the setting can't be changed without a restart. */
int load_refuse_fixed(const char *name, struct fail *why);
