/*
 * src/config/module.h - the functions of an optional feature, which the process calls through a table: see
 * modules/modules.h. modules.h lists its settings and its SHOW command; its functions are here.
 *
 * Owns:   its state, which start() makes and stop() frees.
 * Always: one thread at a time calls these functions, except report(), which any worker may call at any time.
 */
#pragma once

#include "base/fail.h"
#include "modules/modules.h"

#include <stdint.h>

struct config;
struct metric_family;
struct report_sql;
struct request_report;

#define MODULE_NUMBERS_MAX 4

struct module {
	/* Called with the rights of the user that pgweir becomes. Returns the state, or NULL with *why set. */
	void *(*start)(const struct config *config, struct fail *why);
	/* Called by a reload. Returns 0, or -1 with *why set and nothing changed. */
	int (*configure)(void *state, const struct config *config, struct fail *why);
	void (*reopen)(void *state); /* reopens files, after a rotation */
	void (*stop)(void *state); /* does nothing if state is NULL */
	/* Called when a request was slow, was refused or has failed. */
	void (*report)(void *state, const struct request_report *report, const struct report_sql *sql, uint64_t now_us);
	/* The module's metrics, exposed after those of the core. The last entry has no name. */
	const struct metric_family *metrics;
	void (*sample)(void *state,
		       uint64_t numbers[MODULE_NUMBERS_MAX]); /* sets numbers[i] to the value of metrics[i] */
};

extern const struct module *const modules[MODULE_COUNT + 1]; /* modules/modules.c; ends with NULL */
