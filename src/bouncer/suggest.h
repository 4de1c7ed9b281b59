/* src/bouncer/suggest.h - what to say about the name of a setting or section that is not known. */
#pragma once

#include <stddef.h>

/*
 * Says what a setting that section doesn't know may be meant for: a similar name, or the section that knows it. section
 * is the text between the brackets ("pool", "database app"); in_scope: it is that of a database or user.
 */
void suggest_setting(const char *section, int in_scope, const char *name, char *out, size_t out_size);
/* The same for the name of a section. */
void suggest_section(const char *section, char *out, size_t out_size);
