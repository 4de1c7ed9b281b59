/*
 * src/config/nearest.h - "did you mean": the nearest known word to one that is not known.
 *
 * Two words are near if at most two letters were left out, added, exchanged or changed; one in a word of up to four
 * letters, for else any short word would be near any other. A word that is short for another counts as if one letter
 * had been left out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define SUGGEST_WORD_MAX 63 /* longer words are not near anything */

struct nearest {
	const char *word; /* what was written */
	const char *name; /* the nearest so far, or NULL */
	const void *what; /* what came with it */
	unsigned distance;
};

struct nearest nearest_to(const char *word);
/* Keeps the candidate if it is near and nearer than what is kept. Borrows it. */
void nearest_try(struct nearest *nearest, const char *candidate, const void *what);
/* Returns the one of words (NULL ends them) that text is nearest to, or NULL, also if it is short for several. */
const char *nearest_word(const char *text, const char *const *words);
/*
 * Returns true if each part of word, between _ and -, is the beginning of a part of the other, in the same order and
 * whatever the case: cert_file, cert and CERTIFICATES are short for certificate_file. An s at a part's end may be one
 * too many; parts have two letters at least.
 */
bool nearest_is_short(const char *word, const char *of);
/* Damerau and Levenshtein's distance, where letters that changed places count one; anything above limit is limit + 1.
 */
unsigned nearest_distance(const char *a, const char *b, unsigned limit);
