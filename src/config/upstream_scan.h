/*
 * src/config/upstream_scan.h - the two spellings of a connection string, taken apart into names and values.
 *
 * Knows the syntax only (libpq's, chapter "Connection Strings"); upstream.c knows what the names mean.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>

#define UPSTREAM_NAME_MAX 63 /* bytes of a word's name */

/* Gets each name and value in turn. Not 0 ends the scan, which then returns -1. */
typedef int (*upstream_put)(void *arg, const char *name, const char *value, struct fail *why);

/* host=db1 dbname='my db': blanks separate, \ takes the next byte as it is, '' inside of quotes is one. */
int upstream_scan_words(const char *text, upstream_put put, void *arg, struct fail *why);
/* postgres://user:password@host:port,[::1]:port/dbname?name=value&...: %xx is a byte. is_template: %{ is %{. */
int upstream_scan_uri(const char *text, bool is_template, upstream_put put, void *arg, struct fail *why);
bool upstream_is_uri(const char *text);
