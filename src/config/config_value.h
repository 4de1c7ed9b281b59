/*
 * src/config/config_value.h - values as they are written in a file: times, sizes, numbers, switches, words, names.
 *
 * The value_ functions return 0, or -1 with *why set to the correct form ("a time needs a unit, for example 30s or
 * 500ms"); the caller adds the name of the setting. The value_put_ functions write text that the value_ functions read
 * back.
 */
#pragma once

#include "base/buf.h"
#include "base/fail.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

int value_count(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct fail *why);
int value_time(const char *text, uint64_t min_us, uint64_t max_us, uint64_t *out_us, struct fail *why);
int value_size(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct fail *why);
/* from 0 to 1, with at most 9 digits after the point */
int value_fraction(const char *text, double *out, struct fail *why);
int value_switch(const char *text, bool *out, struct fail *why);
/* Reads one of words, which is NULL-terminated; *out becomes its index. */
int value_word(const char *text, const char *const *words, unsigned *out, struct fail *why);
/* Reads any of words, separated by commas: *out gets a bit for the index of each. */
int value_words(const char *text, const char *const *words, uint32_t *out, struct fail *why);
/* Returns -1 with *why set to say that text must be one of words or last (see value_put_words()), and with a hint if a
 * word is near. */
int value_refuse_word(const char *text, const char *const *words, const char *last, struct fail *why);
/* Reads names separated by commas; the caller frees the list with value_names_free. If there are no names, the list is
 * empty, not NULL. */
int value_names(const char *text, char ***out, struct fail *why);
void value_names_free(char **names);
bool value_is_plain(const char *text); /* returns true if it has no control characters */
/* Reads a name with or without double quotes, within which "" stands for one quote. out has CONFIG_NAME_MAX + 1
 * bytes. */
int value_name(const char *text, size_t len, char *out, struct fail *why);

/* Append text to a buffer, without a terminator. */
void value_put_time(struct buf *to, uint64_t us);
void value_put_size(struct buf *to, uint64_t bytes);
void value_put_fraction(struct buf *to, double fraction);
void value_put_words(struct buf *to, const char *const *words, const char *last); /* "a, b or c"; last may be NULL */
/* writes words in the form that value_words() reads */
void value_put_chosen(struct buf *to, const char *const *words, uint32_t chosen);
void value_put_name(struct buf *to, const char *name);
void value_put_names(struct buf *to, char *const *names);
/* Returns the text put so far, with a terminator. The buffer keeps ownership. */
const char *value_put_end(struct buf *to);

/* In config_harmless.c. Reads harmless_code, which must not be empty. Appends a row of SQL for each item, "('function',
 * '617070', '6632')". Its names are in hexadecimal, which means the same in any encoding and with any setting. */
int value_harmless_code(const char *text, struct buf *rows, struct fail *why);

/* --- config_listen.c --- */
/* Reads an address to listen on: 127.0.0.1:6432, [::1]:6432, *:6432, localhost:6432 or unix:/path. */
int value_listen(const char *text, struct config_listen *out, struct fail *why);
bool listen_is_local(const struct config_listen *listen); /* returns true for loopback addresses and Unix sockets */

/*
 * --- nearest.c: finds the known word that is nearest to an unknown one, for "did you mean".
 *
 * Two words are near if their distance (nearest_distance()) is at most two letters that are missing, added, swapped or
 * changed. For a word of up to four letters it may be at most one; otherwise all short words would be near each other.
 * A word that is short for another (nearest_is_short()) has the distance one.
 */
#define SUGGEST_WORD_MAX 63 /* longer words are not near anything */

struct nearest {
	const char *word; /* the unknown word */
	const char *name; /* the nearest so far, or NULL */
	const void *what; /* the caller's data for name */
	unsigned distance;
};

struct nearest nearest_to(const char *word);
/* Keeps the candidate (borrowed) if it is near, and nearer than the kept one. */
void nearest_try(struct nearest *nearest, const char *candidate, const void *what);
/* Returns the word of words (NULL-terminated) that is nearest to text; NULL if none is near, or text is short for
 * several. */
const char *nearest_word(const char *text, const char *const *words);
/* Returns true if word is short for `of`: if each part of word (parts are separated by _ or -) is the beginning of a
 * part of `of`, in the same order and in any case of letters. cert_file, cert and CERTIFICATES are short for
 * certificate_file. A part may have an extra s at its end, and has at least two letters. */
bool nearest_is_short(const char *word, const char *of);
/* Returns the Damerau-Levenshtein distance, in which two swapped letters count as one change. A distance above limit is
 * returned as limit + 1. */
unsigned nearest_distance(const char *a, const char *b, unsigned limit);
