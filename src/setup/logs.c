/* src/setup/logs.c - the log and the slow-query log. */
#include "setup/setup.h"

#include "bouncer/bouncer.h"
#include "os/os.h"

static struct log_settings
log_settings_of(const struct config *c)
{
	return (struct log_settings){ c->log_destination, c->log_format, c->log_level,
				      config_is_pgbouncers(c) ? bouncer_words : NULL };
}

static struct slowlog_settings
slow_settings_of(const struct config *c)
{
	return (struct slowlog_settings){ c->slow_file, c->slow_format, c->slow_text, c->slow_max_lines_per_second };
}

int
setup_open_logs(const struct config *config, struct log **log, struct slowlog **slowlog, struct fail *why)
{
	const struct log_settings plain = log_settings_of(config);
	const struct slowlog_settings slow = slow_settings_of(config);

	if (os_check_user(config, why) < 0)
		return -1;
	os_give_logs(config);
	if (os_act_as_user(config, why) < 0)
		return -1;
	*log = log_new(&plain, why);
	*slowlog = *log == NULL ? NULL : slowlog_new(&slow, why);
	os_act_as_root(config);
	return *slowlog == NULL ? -1 : 0;
}

int
setup_change_logs(struct log *log, struct slowlog *slowlog, const struct config *before, const struct config *config,
		  struct fail *why)
{
	const struct log_settings plain = log_settings_of(config), plain_before = log_settings_of(before);
	const struct slowlog_settings slow = slow_settings_of(config);
	struct fail back;

	if (log_reconfigure(log, &plain, why) < 0)
		return -1;
	if (slowlog_reconfigure(slowlog, &slow, why) == 0)
		return 0;
	log_reconfigure(log, &plain_before, &back);
	return -1;
}

void
setup_reopen_logs(struct log *log, struct slowlog *slowlog)
{
	struct fail why;

	if (log_reopen(log, &why) < 0)
		log_error(log, "%s", why.text);
	slowlog_reopen(slowlog);
}
