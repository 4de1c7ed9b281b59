/*
 * src/load/file_format.h - a configuration file of another program, which is read as settings of pgweir. The names of
 * its settings are known in pgweir's own file and in the console, too. modules/modules.h lists these formats.
 */
#pragma once

#include "config/config_origin.h"
#include "config/config_state.h"
#include "config/config_value.h"
#include "load/load.h"

#define FOREIGN_NOTE_MAX 160

/* The meaning of a name of the other program's. */
struct foreign_name {
	const char *section, *here; /* pgweir's setting; or here is NULL, and note says what is to be done */
	char note[FOREIGN_NOTE_MAX]; /* may be empty */
};

struct file_format {
	const char *program; /* "PgBouncer" */
	const char *no_database; /* what is said of a file without one */
	const struct problem_words *words;
	bool (*is)(const char *text, size_t len); /* Returns true if text is such a file. */
	/*
	 * Hands pgweir's settings over, section by section, the overrides in place of what the file says. Mistakes go
	 * to sink, which must have a source: it is filled, so that lines can be told as the other program's.
	 */
	void (*read)(const char *text, size_t len, const char *path, const struct config_override *overrides,
		     size_t override_count, const struct reader_calls *calls, const struct problem_sink *sink);
	/* Writes it as pgweir's own file, with comments. Returns false if it has errors, and nothing was written. */
	bool (*import)(const char *path, struct config_problems *problems, FILE *to);
	void (*print_keys)(FILE *to); /* what becomes of its settings, as Markdown */
	/* Returns the setting of pgweir's that the one of this name becomes, or that it is a part of; NULL: none. */
	const struct config_key *(*key_of)(const char *name);
	/* Returns false if it has no such name. in_scope: the name stands in a section of a database or user. */
	bool (*find)(const char *name, bool in_scope, struct foreign_name *out);
	const char *(*section)(const char *name); /* Returns what is to be said of its section; NULL: it has none. */
	void (*try_names)(struct nearest *nearest); /* for "did you mean" */
	/* Returns 0; 1 if *why says that another value was taken; -1 with *why set. value: in its units. */
	int (*convert)(const char *name, const char *value, struct buf *to, struct fail *why);
	/*
	 * As load_find_setting(), or 1 if it has no such name. is_file: the file at hand is of this format; is_ours:
	 * pgweir has such a name, too.
	 */
	int (*find_setting)(bool is_file, bool is_ours, const char *name, const char *value, struct load_setting *out,
			    struct fail *why);
	/* Hands over each of its settings with its value and default, as it writes these, whichever file is at hand. */
	void (*each)(const struct config *config,
		     void (*row)(void *arg, const char *name, const char *value, const char *fallback,
				 bool is_changeable),
		     void *arg);
};

extern const struct file_format *const file_formats[]; /* modules/modules.c; ends with NULL */

/* load.c: returns the setting of pgweir's that another program's becomes, and that format; both NULL: none has the
 * name. */
const struct config_key *load_foreign_key(const char *name, const struct file_format **format);
/* load_set.c: returns true if that is a name of the setting: "pool.pool_size", "pool_size", or what a database calls
 * it. */
bool load_is_called(const struct config_key *key, const char *name);
/* load_set.c: refuses to change what takes a restart. Returns -1. */
int load_is_fixed(const char *name, struct fail *why);
