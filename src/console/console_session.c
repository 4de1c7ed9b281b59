/*
 * src/console/console_session.c - commands that only concern the client's own session: SET, transactions, prepared
 * statements. Drivers send them on their own and look at the answers. See console_client.h.
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
console_set(struct console_client *cc, const struct command *command, const char **tag, struct fail *why)
{
	(void)tag;
	if (command->setting == NULL)
		return RUN_DONE;
	if (command->setting->is_fixed) {
		fail_set(why, "55P02", "parameter \"%s\" cannot be changed", command->setting->name);
		return RUN_FAILED;
	}
	if (change_setting(cc, command->setting, command->has_text ? command->text : NULL) == 0)
		return RUN_DONE;
	fail_set(why, "53200", "out of memory");
	return RUN_FAILED;
}

static void
reset_all(struct console_client *cc)
{
	const struct console_setting *setting;

	for (size_t i = 0; (setting = console_setting_at(i)) != NULL; i++)
		if (cc->settings.values[i] != NULL)
			change_setting(cc, setting, NULL);
}

enum run_result
console_reset(struct console_client *cc, const struct command *command, const char **tag, struct fail *why)
{
	(void)tag;
	(void)why;
	if (command->setting != NULL)
		change_setting(cc, command->setting, NULL);
	else if (!command->has_name)
		reset_all(cc);
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
console_begin(struct console_client *cc, const struct command *command, const char **tag, struct fail *why)
{
	(void)command;
	(void)tag;
	(void)why;
	if (cc->tx != 'I')
		warn(cc, "25001", "there is already a transaction in progress");
	cc->tx = 'T';
	return RUN_DONE;
}

enum run_result
console_end(struct console_client *cc, const struct command *command, const char **tag, struct fail *why)
{
	(void)command;
	(void)why;
	if (cc->tx == 'I')
		warn(cc, "25P01", "there is no transaction in progress");
	if (cc->tx == 'E')
		*tag = "ROLLBACK";
	cc->tx = 'I';
	return RUN_DONE;
}

enum run_result
console_deallocate(struct console_client *cc, const struct command *command, const char **tag, struct fail *why)
{
	struct portal *prepared;

	if (!command->has_name) {
		portal_drop_all(&cc->prepared);
		*tag = "DEALLOCATE ALL";
		return RUN_DONE;
	}
	prepared = portal_find(&cc->prepared, command->name);
	if (prepared == NULL) {
		fail_set(why, "26000", "prepared statement \"%s\" does not exist", command->name);
		return RUN_FAILED;
	}
	portal_drop(&cc->prepared, prepared);
	return RUN_DONE;
}

enum run_result
console_discard(struct console_client *cc, const struct command *command, const char **tag, struct fail *why)
{
	(void)command;
	(void)tag;
	(void)why;
	reset_all(cc);
	portal_drop_all(&cc->prepared);
	return RUN_DONE;
}
