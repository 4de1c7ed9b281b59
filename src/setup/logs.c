/* src/setup/logs.c - opens the log, and starts the modules, which may have logs of their own. */
#include "setup/setup.h"
#include "config/config_state.h"
#include "config/module.h"
#include "os/os.h"

static struct log_settings
log_settings_of(const struct config *c)
{
	const struct problem_words *words = config_words(c);

	return (struct log_settings){ c->log_destination, c->log_format, c->log_level,
				      words != NULL ? words->reword : NULL };
}

int
setup_open_logs(const struct config *config, struct log **log, void **states, struct fail *why)
{
	const struct log_settings settings = log_settings_of(config);
	bool is_open;

	if (os_check_user(config, why) < 0)
		return -1;
	os_chown_logs(config);
	if (os_act_as_user(config, why) < 0)
		return -1;
	is_open = (*log = log_new(&settings, why)) != NULL;
	for (size_t i = 0; is_open && modules[i] != NULL; i++)
		is_open = (states[i] = modules[i]->start(config, why)) != NULL;
	os_act_as_root(config);
	return is_open ? 0 : -1;
}

int
setup_change_logs(struct log *log, void *const *states, const struct config *before, const struct config *config,
		  struct fail *why)
{
	const struct log_settings settings = log_settings_of(config), settings_before = log_settings_of(before);
	struct fail ignored;

	if (log_reconfigure(log, &settings, why) < 0)
		return -1;
	for (size_t i = 0; modules[i] != NULL; i++)
		if (modules[i]->configure(states[i], config, why) < 0) {
			while (i-- > 0)
				modules[i]->configure(states[i], before, &ignored);
			log_reconfigure(log, &settings_before, &ignored);
			return -1;
		}
	return 0;
}

void
setup_reopen_logs(struct log *log, void *const *states)
{
	struct fail why;

	if (log_reopen(log, &why) < 0)
		log_error(log, "%s", why.text);
	for (size_t i = 0; modules[i] != NULL; i++)
		modules[i]->reopen(states[i]);
}
