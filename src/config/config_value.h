/*
 * src/config/config_value.h - values as they are written in a file: times, sizes, numbers, switches, words, names.
 *
 * The value_ functions return 0, or -1 with *why set to what would be right ("a time needs a unit, for example 30s or
 * 500ms"); the caller adds the name of the setting. The value_put_ functions write what these read back.
 */
#pragma once

#include "base/buf.h"
#include "base/fail.h"
#include "config/config.h"

int value_count(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct fail *why);
int value_time(const char *text, uint64_t min_us, uint64_t max_us, uint64_t *out_us, struct fail *why);
int value_size(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct fail *why);
int value_fraction(const char *text, double *out, struct fail *why); /* 0 to 1, at most 9 digits after the point */
int value_switch(const char *text, bool *out, struct fail *why);
/* words is NULL-terminated; out is the index of text in it. */
int value_word(const char *text, const char *const *words, unsigned *out, struct fail *why);
/* Names separated by commas; the caller frees with value_names_free. No name: an empty list, not NULL. */
int value_names(const char *text, char ***out, struct fail *why);
void value_names_free(char **names);
/* Reads a name, in double quotes ("" is one quote inside) or without. out has CONFIG_NAME_MAX + 1 bytes. */
int value_name(const char *text, size_t len, char *out, struct fail *why);

/* None of these writes a terminator. */
void value_put_time(struct buf *to, uint64_t us);
void value_put_size(struct buf *to, uint64_t bytes);
void value_put_fraction(struct buf *to, double fraction);
void value_put_words(struct buf *to, const char *const *words, const char *last); /* "a, b or c"; last may be NULL */
void value_put_name(struct buf *to, const char *name);
void value_put_names(struct buf *to, char *const *names);
/* Returns the text put so far, with a terminator. It stays the buffer's. */
const char *value_put_end(struct buf *to);

/* --- config_listen.c --- */
/* An address to listen on: 127.0.0.1:6432, [::1]:6432, *:6432, localhost:6432 or unix:/path. */
int value_listen(const char *text, struct config_listen *out, struct fail *why);
bool listen_is_local(const struct config_listen *listen); /* loopback or a Unix socket */
