/* src/admin/console_settings.c - see console_command.h. */
#include "admin/console_command.h"

#include <strings.h>

/* Values must agree with the ParameterStatus of the same name that enter_console() in login/login_proof.c sends. */
static const struct console_setting settings[] = {
	{ "application_name", "" },
	{ "bytea_output", "hex" },
	{ "client_encoding", "UTF8" },
	{ "DateStyle", "ISO, MDY" },
	{ "default_transaction_isolation", "read committed" },
	{ "default_transaction_read_only", "off" },
	{ "extra_float_digits", "1" },
	{ "in_hot_standby", "off" },
	{ "integer_datetimes", "on" },
	{ "IntervalStyle", "postgres" },
	{ "max_identifier_length", "63" },
	{ "search_path", "\"$user\", public" },
	{ "server_encoding", "UTF8" },
	{ "server_version", "15.0 (pgweir)" },
	{ "server_version_num", "150000" },
	{ "standard_conforming_strings", "on" },
	{ "TimeZone", "UTC" },
	{ "transaction_isolation", "read committed" },
	{ "transaction_read_only", "off" },
};

const struct console_setting *
console_setting_find(const char *name)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (strcasecmp(settings[i].name, name) == 0)
			return &settings[i];
	return NULL;
}
