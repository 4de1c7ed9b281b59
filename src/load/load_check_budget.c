/* src/load/load_check_budget.c - checks of budget, the common limit of several processes. */
#include "load/load_state.h"

#include <string.h>

const char *
load_budget_user(const struct config *config, const struct config_section *s, struct scope_settings *out)
{
	const struct upstream *up = s->scope->upstream;

	if (up == NULL)
		return NULL;
	config_compute_settings(config, s->scope, NULL, out);
	return config_has_budget(up, out) ? config_cluster_user(up, out) : NULL;
}

/* Returns true if all connections to up, including pgweir's own connection for the budget, lead to the same host. */
static bool
leads_to_one_host(const struct upstream *up)
{
	return up->host_count == 1 || up->target == TARGET_PRIMARY || up->target == TARGET_READ_WRITE;
}

/* Reports the first section of the cluster whose pools log in as cluster_user, because clients of these pools could
 * change the budget of all processes by setting application_name. */
static void
check_user(const struct config *config, const struct config_section *budget, const struct scope_settings *settings,
	   const char *user, const struct problem_sink *sink)
{
	const struct upstream *up = budget->scope->upstream;

	for (struct config_section s = { 0 }; config_next_section(config, &s);) {
		if (s.scope->upstream == NULL || strcmp(s.scope->upstream->user, user) != 0 ||
		    !upstream_is_same_cluster(up, s.scope->upstream))
			continue;
		problem_add(
		    sink, settings->budget == BUDGET_ON, budget->origin->upstream_line,
		    "budget needs a cluster_user that nobody else logs in as, and the pools of [%s %s] log in as "
		    "\"%.63s\": CREATE ROLE pgweir LOGIN PASSWORD '...' in PostgreSQL, cluster_user = pgweir in "
		    "[limits], and the same password in users_file",
		    s.word, s.scope->name, user);
		return;
	}
}

/* Returns the sum of min_idle of this section and of later sections of the same cluster. Stops adding when the sum is
 * above limit. */
static uint64_t
sum_min_idle(const struct config *config, struct config_section s, uint32_t limit)
{
	const struct upstream *up = s.scope->upstream;
	struct scope_settings settings;
	uint64_t sum = 0;

	do
		if (s.scope->upstream != NULL && upstream_is_same_cluster(up, s.scope->upstream)) {
			config_compute_settings(config, s.scope, NULL, &settings);
			sum += settings.min_idle;
		}
	while (sum <= limit && config_next_section(config, &s));
	return sum;
}

void
load_check_budget(const struct config *config, const struct problem_sink *sink)
{
	bool was_warned = false;

	for (struct config_section s = { 0 }; config_next_section(config, &s);) {
		struct scope_settings settings;
		const char *user = load_budget_user(config, &s, &settings);
		uint32_t limit;

		if (user == NULL)
			continue;
		limit = settings.budget_connections;
		if (*user == '\0')
			problem_error(sink, s.origin->upstream_line,
				      "budget needs a cluster_user for pgweir's own connection: set it in [limits] or "
				      "[%s %s], and its secret in users_file",
				      s.word, s.scope->name);
		else
			check_user(config, &s, &settings, user, sink);
		if (!leads_to_one_host(s.scope->upstream))
			problem_add(sink, settings.budget == BUDGET_ON, s.origin->upstream_line,
				    "budget counts the connections on one host, but upstream has several: write "
				    "target_session_attrs=primary, or give each host a section of its own");
		if (!was_warned && limit != CONFIG_COUNT_AUTO && settings.min_idle > 0 &&
		    sum_min_idle(config, s, limit) > limit) {
			was_warned = true;
			problem_warning(sink, s.origin->upstream_line,
					"budget_connections = %u is below the sum of min_idle of all databases there: "
					"not all of these are kept",
					limit);
		}
	}
}
