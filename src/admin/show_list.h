/*
 * src/admin/show_list.h - the list of commands that are answered with rows. A new command needs a line here, and a
 * struct show.
 *
 * For example, SHOW POOLS has the id COMMAND_SHOW_POOLS and the struct show_pools. The enum of ids, the table of
 * commands and the table of struct show are made from these lists. tests/check-docs requires each command in
 * docs/admin.md and pgweir-admin(7).
 */
#pragma once

#include "modules/modules.h"

/* ROW(the word after SHOW, the name of the struct after show_, ANYBODY or ADMIN, the line in SHOW HELP, an example) */
/* clang-format off */
#define SHOW_LIST(ROW) \
	ROW(POOLS, pools, ANYBODY, "clients and servers of each pool, and how long the oldest waits", \
	    "SHOW POOLS LIKE 'app%'") \
	ROW(POOLS_EXTENDED, pools_extended, ANYBODY, "each pool's limits, checkouts, timeouts, pings and recycles", \
	    "SHOW POOLS_EXTENDED") \
	ROW(CLIENTS, clients, ANYBODY, "every client connection", \
	    "SHOW CLIENTS LIKE 'app'") \
	ROW(SERVERS, servers, ANYBODY, "every server connection", "SHOW SERVERS") \
	ROW(SOCKETS, sockets, ANYBODY, "clients and servers with what their sockets hold", "SHOW SOCKETS") \
	ROW(ACTIVE_SOCKETS, active_sockets, ANYBODY, "the sockets that are in use now", "SHOW ACTIVE_SOCKETS") \
	ROW(WAITERS, waiters, ANYBODY, "clients that wait for a server: since when, why, with which SQL", "SHOW WAITERS") \
	ROW(PINS, pins, ANYBODY, "clients that keep a server between transactions, and why", "SHOW PINS") \
	ROW(HOLDERS, holders, ANYBODY, "who holds each server, what it does there and for how long, and how many wait meanwhile", \
	    "SHOW HOLDERS LIKE 'app'") \
	ROW(BLOCKERS, blockers, ANYBODY, "holders that others wait for, with root and count; those that block most come first", "SHOW BLOCKERS") \
	ROW(QUERIES, queries, ANYBODY, "which statements cost the most, and where their time went; PER application or user: of all theirs", \
	    "SHOW QUERIES 20 PER statement BY server LIKE 'api%'") \
	ROW(READS, reads, ANYBODY, "which statements standbys answered, and why the primary answered the others", \
	    "SHOW READS 20 LIKE 'api%'") \
	MODULE_SHOWS(ROW) \
	ROW(EVENTS, events, ANYBODY, "the last lines of the log, warnings and errors apart from the rest", "SHOW EVENTS") \
	ROW(DATABASE_CODE, database_code, ANYBODY, \
	    "the names by which SQL reaches code that could touch session state, and why; FOR: those in some SQL", \
	    "SHOW DATABASE_CODE FOR 'SELECT f(1)'") \
	ROW(AUDIT, audit, ANYBODY, "session state by application, where session_state = warn", "SHOW AUDIT") \
	ROW(DATABASES, databases, ANYBODY, "databases, where they are, their limits and whether they are paused", \
	    "SHOW DATABASES") \
	ROW(USERS, users, ANYBODY, "users, their limits and connections", "SHOW USERS") \
	ROW(STATS, stats, ANYBODY, "what was done since the start, and per second of the last minute; times in us", \
	    "SHOW STATS") \
	ROW(STATS_TOTALS, stats_totals, ANYBODY, "what was done since the start", "SHOW STATS_TOTALS") \
	ROW(STATS_AVERAGES, stats_averages, ANYBODY, "what was done per second of the last minute", \
	    "SHOW STATS_AVERAGES") \
	ROW(TOTALS, totals, ANYBODY, "totals and averages of all databases together", "SHOW TOTALS") \
	ROW(LATENCY, latency, ANYBODY, "how long queries take and wait, in ms, since the start", "SHOW LATENCY") \
	ROW(ERRORS, errors, ANYBODY, "errors by database, by who sent them and by SQLSTATE class", "SHOW ERRORS") \
	ROW(BACKENDS, backends, ANYBODY, "PostgreSQL servers: up or down, their role, connects and failures", \
	    "SHOW BACKENDS") \
	ROW(HOSTS, hosts, ANYBODY, "hosts of databases with reads on standbys: role, lag, whether they are used, and why not", \
	    "SHOW HOSTS") \
	ROW(WORKERS, workers, ANYBODY, "the event loops: clients, servers, share of a processor, and whether each is running", \
	    "SHOW WORKERS") \
	ROW(BUDGET, budget, ANYBODY, "the common limit of all pgweir processes: what PostgreSQL lists, what this one has", \
	    "SHOW BUDGET") \
	ROW(FLEET, fleet, ANYBODY, "the processes of the budget: what each has, and whether anyone waits there", "SHOW FLEET") \
	ROW(PREPARED, prepared, ADMIN, "prepared statements that are known, with their text", "SHOW PREPARED") \
	ROW(CONFIG, config, ANYBODY, "settings; first by PgBouncer's names, then by our own", \
	    "SHOW CONFIG LIKE 'pool.%'") \
	ROW(CONFIG_ERRORS, config_errors, ANYBODY, "what the last reload found wrong", "SHOW CONFIG_ERRORS") \
	ROW(METRICS, metrics, ANYBODY, "the numbers of /metrics, with explanations", "SHOW METRICS LIKE '%wait%'") \
	ROW(LISTS, lists, ANYBODY, "how many of each thing there are", "SHOW LISTS") \
	ROW(STATE, state, ANYBODY, "whether pgweir runs, is paused or shuts down", "SHOW STATE") \
	ROW(MEM, mem, ANYBODY, "memory of clients, servers, statements and settings", "SHOW MEM") \
	ROW(VERSION, version, ANYBODY, "the PgBouncer that this console is compatible with; SELECT version() has pgweir's own version", "SHOW VERSION") \
	ROW(HELP, help, ANYBODY, "this list", "SHOW HELP LIKE 'SHOW%'") \
	ROW(DNS_HOSTS, dns_hosts, ANYBODY, "nothing: pgweir keeps no host names; for tools that ask", "SHOW DNS_HOSTS") \
	ROW(DNS_ZONES, dns_zones, ANYBODY, "nothing, likewise", "SHOW DNS_ZONES") \
	ROW(PEERS, peers, ANYBODY, "the processes that cancel requests are passed on to", "SHOW PEERS") \
	ROW(PEER_POOLS, peer_pools, ANYBODY, "cancel requests that are under way to each of them", "SHOW PEER_POOLS")

/* Other commands that are answered with rows: EXPLAIN, and SELECTs that drivers and health checks send. ROW(id, the
 * name of the struct after answer_); console_command.c has each command's words. */
#define ANSWER_LIST(ROW) \
	ROW(WAIT, wait) ROW(POOL, pool) ROW(RESTART, restart) ROW(ONE, one) ROW(VERSION, version) ROW(SCHEMA, schema) ROW(DATABASE, database) ROW(RECOVERY, recovery) \
	ROW(UNLOCK, unlock) ROW(TYPES, types) ROW(COMPLETION, completion)
/* clang-format on */
