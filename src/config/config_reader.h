/*
 * src/config/config_reader.h - the lines of an ini file, one at a time, to inih.
 *
 * inih splits a setting at its "=" and cuts comments off. What it would do silently is refused here before it sees the
 * line: it cuts lines at 200 bytes and section names at 49, knows no line numbers, takes an unclosed section for a
 * setting, a ":" for a "=" and an indented line for more of the value above.
 */
#ifndef PGWEIR_CONFIG_CONFIG_READER_H
#define PGWEIR_CONFIG_CONFIG_READER_H

#include "config/config_problems.h"

#define READER_LINE_MAX 198 /* bytes, without the line's end: all that fits into inih's line */

struct reader_calls {
	void (*on_section)(void *arg, unsigned line, const char *head); /* what is between the brackets */
	void (*on_setting)(void *arg, unsigned line, const char *name, const char *value);
	void *arg;
};

/* Mistakes go to sink. 0, or -1 if inih ran out of memory (also a problem). */
int config_read(const char *text, size_t len, const struct reader_calls *calls, const struct problem_sink *sink);
/*
 * True if a line "key = value" can hold this value, so that reading it gives the same bytes back. A value that begins
 * with a semicolon has to follow the = without a blank.
 */
bool reader_can_hold(const char *key, const char *value);

#endif
