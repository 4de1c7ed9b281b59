/* src/admin/console_settings.c - see console_command.h. */
#include "admin/console_command.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* These must agree with the ParameterStatus that login/login.c sends to a console client. */
static const struct console_setting settings[CONSOLE_SETTINGS] = {
	{ "application_name", "", true, false },
	{ "bytea_output", "hex", false, false },
	{ "client_encoding", "UTF8", true, false },
	{ "DateStyle", "ISO, MDY", true, false },
	{ "default_transaction_isolation", "read committed", false, false },
	{ "default_transaction_read_only", "off", true, false },
	{ "extra_float_digits", "1", false, false },
	{ "in_hot_standby", "off", true, true },
	{ "integer_datetimes", "on", true, true },
	{ "IntervalStyle", "postgres", true, false },
	{ "max_identifier_length", "63", false, true },
	{ "search_path", "\"$user\", public", false, false },
	{ "server_encoding", "UTF8", true, true },
	{ "server_version", "15.0 (pgweir)", true, true },
	{ "server_version_num", "150000", false, true },
	{ "standard_conforming_strings", "on", true, false },
	{ "TimeZone", "UTC", true, false },
	{ "transaction_isolation", "read committed", false, false },
	{ "transaction_read_only", "off", false, false },
};

const struct console_setting *
console_setting_at(size_t i)
{
	return i < CONSOLE_SETTINGS ? &settings[i] : NULL;
}

const struct console_setting *
console_setting_find(const char *name)
{
	for (size_t i = 0; i < CONSOLE_SETTINGS; i++)
		if (strcasecmp(settings[i].name, name) == 0)
			return &settings[i];
	return NULL;
}

const char *
console_settings_get(const struct console_settings *s, const struct console_setting *setting)
{
	const char *own = s->values[setting - settings];

	return own != NULL ? own : setting->value;
}

int
console_settings_set(struct console_settings *s, const struct console_setting *setting, const char *value)
{
	char **slot = &s->values[setting - settings], *copy = value != NULL ? strdup(value) : NULL;

	if (value != NULL && copy == NULL)
		return -1;
	free(*slot);
	*slot = copy;
	return 0;
}

void
console_settings_fini(struct console_settings *s)
{
	for (size_t i = 0; i < CONSOLE_SETTINGS; i++)
		free(s->values[i]);
	memset(s, 0, sizeof(*s));
}
