/*
 * src/admin/console_settings.h - the session settings that drivers ask the console for, or set, on their own. They
 * change nothing here but what SHOW says; what they look like is PostgreSQL's. Pure.
 */
#ifndef PGWEIR_ADMIN_CONSOLE_SETTINGS_H
#define PGWEIR_ADMIN_CONSOLE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#define CONSOLE_SETTINGS 19

struct console_setting {
	const char *name, *value; /* value: before anybody sets it */
	bool is_reported; /* changes are told by ParameterStatus */
	bool is_fixed; /* cannot be set */
};

/* A session's own values. Zeroed: all as they are by default. */
struct console_settings {
	char *values[CONSOLE_SETTINGS]; /* NULL: the default */
};

/* Without regard to case; NULL: not one of ours. */
const struct console_setting *console_setting_find(const char *name);
const struct console_setting *console_setting_at(size_t i); /* NULL after the last one */
const char *console_settings_get(const struct console_settings *s, const struct console_setting *setting);
/* value NULL: the default again. */
void console_settings_set(struct console_settings *s, const struct console_setting *setting, const char *value);
void console_settings_fini(struct console_settings *s); /* all defaults again */

#endif
