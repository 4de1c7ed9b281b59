/*
 * src/console/console_session.c - commands that only concern the client's own session: SET, transactions. Drivers send
 * them on their own and look at the answers. See console_client.h.
 */
#include "console/console_client.h"
#include "wire/messages.h"

static int
change_setting(struct console_client *cc, const struct console_setting *setting, const char *value)
{
	if (console_settings_set(&cc->settings, setting, value) < 0)
		return -1;
	if (setting->is_reported)
		message_parameter(&cc->out, setting->name, console_settings_get(&cc->settings, setting));
	return 0;
}

/* Sets a setting of the session; one that is not in the table has no effect here. */
enum run_result
console_set(struct run *r)
{
	if (r->command->setting == NULL)
		return RUN_DONE;
	if (r->command->setting->is_fixed)
		return fail_set(r->why, "55P02", "parameter \"%s\" cannot be changed", r->command->setting->name);
	if (change_setting(r->cc, r->command->setting, r->command->has_text ? r->command->text : NULL) == 0)
		return RUN_DONE;
	return fail_set(r->why, "53200", "out of memory");
}

enum run_result
console_reset(struct run *r)
{
	if (r->command->setting != NULL)
		change_setting(r->cc, r->command->setting, NULL);
	else if (!r->command->has_name) {
		const struct console_setting *setting;

		for (size_t i = 0; (setting = console_setting_at(i)) != NULL; i++)
			if (r->cc->settings.values[i] != NULL)
				change_setting(r->cc, setting, NULL);
	}
	return RUN_DONE;
}

static void
warn(struct console_client *cc, const char *sqlstate, const char *text)
{
	struct fail what;

	fail_set(&what, sqlstate, "%s", text);
	message_notice(&cc->out, "WARNING", &what);
}

enum run_result
console_begin(struct run *r)
{
	if (r->cc->tx != 'I')
		warn(r->cc, "25001", "there is already a transaction in progress");
	r->cc->tx = 'T';
	return RUN_DONE;
}

enum run_result
console_end(struct run *r)
{
	if (r->cc->tx == 'I')
		warn(r->cc, "25P01", "there is no transaction in progress");
	if (r->cc->tx == 'E')
		r->tag = "ROLLBACK";
	r->cc->tx = 'I';
	return RUN_DONE;
}
