/* src/process/process_set.c - the console's SET: loads the configuration again with other values for some settings,
 * with the same checks as a reload, all or nothing. The values hold until a reload succeeds. */
#include "process/process_state.h"
#include "base/alloc.h"
#include "load/load.h"

/* Returns a copy of the earlier overrides with this value for name, or without name if value is NULL. */
static struct process_overrides
copy_overrides_with(const struct process_overrides *before, const char *name, const char *value)
{
	struct process_overrides o = { .list = xcalloc(before->count + 1, sizeof(*o.list)) };

	for (size_t i = 0; i < before->count; i++)
		if (strcmp(before->list[i].name, name) != 0)
			o.list[o.count++] =
			    (struct config_override){ xstrdup(before->list[i].name), xstrdup(before->list[i].value) };
	if (value != NULL)
		o.list[o.count++] = (struct config_override){ xstrdup(name), xstrdup(value) };
	return o;
}

/* Returns true if one of the problems is an error of this setting itself. */
static bool
is_about(const struct config_problems *problems, const char *name)
{
	char *about = xasprintf("error: %s: ", name);
	bool is = false;

	for (size_t i = 0; i < problems->count; i++)
		is = is || strstr(problems->list[i].text, about) != NULL;
	free(about);
	return is;
}

/* Sets *why to the first error, without the name of the file, because the file is not at fault. Returns -1. */
static int
set_why(const struct config_problems *problems, struct fail *why)
{
	for (size_t i = 0; i < problems->count; i++) {
		const char *text = problems->list[i].text, *about = strstr(text, ": error: ");

		if (problems->list[i].is_error)
			return fail_set(why, "22023", "%s", about != NULL ? about + 9 : text);
	}
	return -1; /* *why is as process_load() has set it */
}

int
process_set(struct weir *w, const char *name, const char *value, struct fail *notice, struct fail *why)
{
	struct config_problems problems = { 0 };
	struct load_setting setting;
	struct process_overrides o;
	int result;

	notice->text[0] = '\0';
	if (process_lift_memory_limit(w, why) < 0)
		return -1;
	if (w->config->path[0] == '\0') {
		fail_set(why, "0A000", "SET needs a configuration file");
		return fail_hint(why, "pgweir was started with --upstream.");
	}
	if (load_find_setting(w->config, name, value, &setting, why) < 0)
		return -1;
	o = copy_overrides_with(&w->last_reload.overrides, setting.name, value);
	result = process_load(w, &o, &problems, why);
	if (result < 0 && setting.is_of_tls && !is_about(&problems, setting.name)) {
		set_why(&problems, why);
		fail_set(notice, "01000", "%s is set, but TLS stays as it was until the rest is, too: %s", setting.name,
			 why->text);
		result = 0;
	} else if (result < 0)
		set_why(&problems, why);
	else if (setting.reason != NULL)
		fail_set(notice, "01000", "%s has no effect: %s", setting.name, setting.reason);
	if (result == 0) {
		log_info(w->log, "set until the next reload: %s = %s", setting.name,
			 value == NULL	     ? "(as in the file)"
			 : setting.is_secret ? "***"
					     : value);
		process_overrides_fini(&w->last_reload.overrides);
		w->last_reload.overrides = o;
	} else
		process_overrides_fini(&o);
	config_problems_fini(&problems);
	return result;
}
