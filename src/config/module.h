/*
 * src/config/module.h - the functions of a module, an optional feature such as the slow-query log. modules/modules.h
 * lists each module's settings and its SHOW command.
 *
 * Owns:   the module owns its state, which start() makes and stop() frees.
 * Always: one thread at a time calls a module's functions, except report(), which any worker may call at any time.
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
	/* Called with the rights of the user run_as. Returns the state, or NULL with *why set. */
	void *(*start)(const struct config *config, struct fail *why);
	/* Called by a reload. Returns 0, or -1 with *why set and nothing changed. */
	int (*configure)(void *state, const struct config *config, struct fail *why);
	void (*reopen)(void *state); /* reopens files, after a log rotation */
	void (*stop)(void *state); /* does nothing if state is NULL */
	/* Called for each request that was slow, sampled or refused, or has failed: see report->event. */
	void (*report)(void *state, const struct request_report *report, const struct report_sql *sql, uint64_t now_us);
	const struct metric_family *metrics; /* the module's metrics; the last entry has no name */
	/* Sets the numbers that `metrics` shows. */
	void (*sample)(void *state, uint64_t numbers[MODULE_NUMBERS_MAX]);
};

extern const struct module *const modules[MODULE_COUNT + 1]; /* in modules/modules.c; the last element is NULL */
