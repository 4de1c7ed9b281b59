/*
 * src/config/config_problems.h - collecting what is wrong with a configuration.
 *
 * A load does not stop at the first mistake: each is added here, and the whole list is shown in order of line. A file
 * of garbage makes as many mistakes as it has lines, so the list keeps PROBLEMS_MAX of them and counts the rest.
 */
#ifndef PGWEIR_CONFIG_CONFIG_PROBLEMS_H
#define PGWEIR_CONFIG_CONFIG_PROBLEMS_H

#include "config/config.h"

#define PROBLEMS_MAX 1000
#define PROBLEM_TEXT_MAX 1024 /* bytes of one; longer ones are cut */

/* Who is adding: where its lines are. Embed one per load. */
struct problem_sink {
	struct config_problems *problems;
	const char *file; /* what stands before the line: the file as the user named it */
};

/* line 0: about the file as a whole. */
void problem_error(const struct problem_sink *sink, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void problem_warning(const struct problem_sink *sink, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "about: text; hint" */
void problem_fail(const struct problem_sink *sink, unsigned line, const char *about, const struct fail *why);
/* True while another problem would be shown: else it is not worth the work of finding good words for it. */
bool problem_is_shown(const struct problem_sink *sink);
/* Brings the list in order of line; those without a line come last. What was added first stays first. */
void problems_sort(struct config_problems *problems);

#endif
