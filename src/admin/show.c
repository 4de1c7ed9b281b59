/* src/admin/show.c - see show.h: which command is which, and how addresses and times look. */
#include "admin/show.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct show *const shows[COMMAND_WITH_ROWS] = {
	[COMMAND_SHOW_POOLS] = &show_pools,
	[COMMAND_SHOW_POOLS_EXTENDED] = &show_pools_extended,
	[COMMAND_SHOW_CLIENTS] = &show_clients,
	[COMMAND_SHOW_SERVERS] = &show_servers,
	[COMMAND_SHOW_SOCKETS] = &show_sockets,
	[COMMAND_SHOW_ACTIVE_SOCKETS] = &show_active_sockets,
	[COMMAND_SHOW_WAITERS] = &show_waiters,
	[COMMAND_SHOW_PINS] = &show_pins,
	[COMMAND_SHOW_DATABASE_CODE] = &show_database_code,
	[COMMAND_SHOW_AUDIT] = &show_audit,
	[COMMAND_SHOW_DATABASES] = &show_databases,
	[COMMAND_SHOW_USERS] = &show_users,
	[COMMAND_SHOW_STATS] = &show_stats,
	[COMMAND_SHOW_STATS_TOTALS] = &show_stats_totals,
	[COMMAND_SHOW_STATS_AVERAGES] = &show_stats_averages,
	[COMMAND_SHOW_TOTALS] = &show_totals,
	[COMMAND_SHOW_LATENCY] = &show_latency,
	[COMMAND_SHOW_ERRORS] = &show_errors,
	[COMMAND_SHOW_BACKENDS] = &show_backends,
	[COMMAND_SHOW_PREPARED] = &show_prepared,
	[COMMAND_SHOW_CONFIG] = &show_config,
	[COMMAND_SHOW_CONFIG_ERRORS] = &show_config_errors,
	[COMMAND_SHOW_METRICS] = &show_metrics,
	[COMMAND_SHOW_LISTS] = &show_lists,
	[COMMAND_SHOW_STATE] = &show_state,
	[COMMAND_SHOW_MEM] = &show_mem,
	[COMMAND_SHOW_VERSION] = &show_version,
	[COMMAND_SHOW_HELP] = &show_help,
	[COMMAND_SHOW_DNS_HOSTS] = &show_dns_hosts,
	[COMMAND_SHOW_DNS_ZONES] = &show_dns_zones,
	[COMMAND_SHOW_PEERS] = &show_peers,
	[COMMAND_SHOW_PEER_POOLS] = &show_peer_pools,
	[COMMAND_SELECT_ONE] = &answer_one,
	[COMMAND_SELECT_VERSION] = &answer_version,
	[COMMAND_SELECT_SCHEMA] = &answer_schema,
	[COMMAND_SELECT_DATABASE] = &answer_database,
	[COMMAND_SELECT_RECOVERY] = &answer_recovery,
	[COMMAND_SELECT_UNLOCK] = &answer_unlock,
	[COMMAND_SELECT_TYPES] = &answer_types,
};

const struct show *
show_find(enum command_id id)
{
	return id < COMMAND_WITH_ROWS ? shows[id] : NULL;
}

void
show_time(uint64_t wall_us, char out[SHOW_TIME_MAX])
{
	time_t t = (time_t)(wall_us / US_PER_S);
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(out, SHOW_TIME_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		out[0] = '\0';
}

uint64_t
show_age_us(uint64_t now_us, uint64_t since_us)
{
	return since_us > 0 && now_us > since_us ? now_us - since_us : 0;
}

uint64_t
show_address(const struct sockaddr *sa, char out[SHOW_ADDRESS_MAX])
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	out[0] = '\0';
	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in, sa, sizeof(in));
		inet_ntop(AF_INET, &in.sin_addr, out, SHOW_ADDRESS_MAX);
		return ntohs(in.sin_port);
	case AF_INET6:
		memcpy(&in6, sa, sizeof(in6));
		inet_ntop(AF_INET6, &in6.sin6_addr, out, SHOW_ADDRESS_MAX);
		return ntohs(in6.sin6_port);
	case AF_UNIX:
		snprintf(out, SHOW_ADDRESS_MAX, "unix");
		return 0;
	default:
		return 0;
	}
}

const char *
show_load_balance(const struct upstream *upstream)
{
	return upstream->host_count > 1 ? "disable" : NULL; /* hosts are tried in order */
}
