/*
 * src/config/config_value.h - values as text in a file: times, sizes, numbers, switches, words, names.
 *
 * The value_ functions that take `why` read a value. They return 0, or -1 with *why set to a description of the correct
 * form ("a time needs a unit, for example 30s or 500ms"); the caller puts the name of the setting before it. The
 * value_put_ functions write text that the value_read_ functions read back.
 */
#pragma once

#include "base/buf.h"
#include "base/fail.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

int value_read_count(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct fail *why);
int value_read_time(const char *text, uint64_t min_us, uint64_t max_us, uint64_t *out_us, struct fail *why);
int value_read_size(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct fail *why);
/* Reads a decimal fraction from 0 to 1, with at most 9 digits after the point. */
int value_read_fraction(const char *text, double *out, struct fail *why);
int value_read_switch(const char *text, bool *out, struct fail *why); /* on or off, and synonyms such as yes and 0 */
/* Reads a word that must be in `words`, a NULL-terminated list, and sets *out to the word's index. */
int value_read_word(const char *text, const char *const *words, unsigned *out, struct fail *why);
/* Reads words separated by commas. Each must be in words, a NULL-terminated list. Sets bit i of *out for each words[i]
 * that it reads, and clears the other bits. */
int value_read_words(const char *text, const char *const *words, uint32_t *out, struct fail *why);
/* Sets *why to say that the value must be one of `words`, or else `last`; for both, see value_put_words(). Adds a hint
 * if a word is similar to text. Always returns -1. */
int value_refuse_word(const char *text, const char *const *words, const char *last, struct fail *why);
/* Reads names separated by commas into a NULL-terminated list, which the caller frees with value_names_free(). If there
 * are no names, the list is empty, not NULL. */
int value_read_names(const char *text, char ***out, struct fail *why);
void value_names_free(char **names); /* names may be NULL */
bool value_is_plain(const char *text); /* returns true if text has no control characters */
/* Reads a name, which may be in double quotes, with "" for a quote inside. out has CONFIG_NAME_MAX + 1 bytes. */
int value_read_name(const char *text, size_t len, char *out, struct fail *why);

/* --- functions that append text to a buffer, without a terminator --- */
void value_put_time(struct buf *to, uint64_t us);
void value_put_size(struct buf *to, uint64_t bytes);
void value_put_fraction(struct buf *to, double fraction);
/* Writes "a, b or c" for the words a, b and c. `last` describes a further alternative, or is NULL. */
void value_put_words(struct buf *to, const char *const *words, const char *last);
/* Writes each words[i] for which bit i of `chosen` is set, in the form that value_read_words() reads. */
void value_put_chosen(struct buf *to, const char *const *words, uint32_t chosen);
void value_put_name(struct buf *to, const char *name);
void value_put_names(struct buf *to, char *const *names);
/* Appends a terminator, and returns the buffer's text. The buffer keeps ownership of the text. */
const char *value_put_end(struct buf *to);

/* In config_harmless.c. Reads a value of harmless_code, which must not be empty. Appends to `rows` a row of SQL for
 * each item, such as ('function', '617070', '6632'). Names are in hexadecimal, so neither encodings nor PostgreSQL's
 * reading of backslashes matter. */
int value_read_harmless_code(const char *text, struct buf *rows, struct fail *why);

/* --- config_listen.c --- */
/* Reads an address to listen on: 127.0.0.1:6432, [::1]:6432, *:6432, localhost:6432 or unix:/path. */
int value_read_listen(const char *text, struct config_listen *out, struct fail *why);
bool listen_is_local(const struct config_listen *listen); /* returns true for loopback addresses and Unix sockets */

/*
 * --- nearest.c: finds the known word that is most similar to an unknown word, for "did you mean".
 *
 * The distance between two words is the number of letters that were left out, added, swapped or changed. A known word
 * is near if this distance is at most two. If the unknown word has two to four letters, the distance must be one,
 * because otherwise all short words would be near; to a single letter, no other word is near. The distance of an
 * abbreviation (nearest_is_abbreviation()) counts as one.
 */
#define SUGGEST_WORD_MAX 63 /* bytes; the distance between longer words is not computed, and counts as too large */

/* A search for the nearest word: nearest_to() begins it, and nearest_try() gets each known word. */
struct nearest {
	const char *word; /* the unknown word */
	const char *name; /* the nearest known word so far; NULL if none was near */
	const void *what; /* the caller's data for name */
	unsigned distance; /* from word to name; before a name is found, the smallest distance that is too large */
};

struct nearest nearest_to(const char *word);
/* If the candidate is near, and nearer than nearest->name, keeps the candidate and `what`, both borrowed. */
void nearest_try(struct nearest *nearest, const char *candidate, const void *what);
/* Returns the word that is nearest to text in words, a NULL-terminated list. Returns NULL if no word is near, or if
 * text is empty, begins with a digit, or abbreviates several words. */
const char *nearest_word(const char *text, const char *const *words);
/*
 * Returns true if `word` abbreviates the name `of`, as cert_file, cert and CERTIFICATES abbreviate certificate_file.
 * The parts of a name are separated by _ or -. Each part of *word must have at least two letters, and be the beginning
 * of a part of *of, in the same order; a whole part may have an extra s. Case does not matter. *of has no spaces.
 */
bool nearest_is_abbreviation(const char *word, const char *of);
/* Returns the Damerau-Levenshtein distance, which counts two swapped letters as one change. If the distance is above
 * limit, returns limit + 1. */
unsigned nearest_distance(const char *a, const char *b, unsigned limit);
