/*
 * src/config/module.h - a capability that the process has, and does not know by name: see modules/modules.h. Its
 * settings and its SHOW are in that list; here is what it does.
 *
 * Owns:   its state, which start() makes and stop() frees.
 * Always: all is called by one thread at a time, but report(), which any worker calls, also meanwhile.
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
	/* Has the rights of the user that pgweir becomes. Returns its state, or NULL with *why set. */
	void *(*start)(const struct config *config, struct fail *why);
	/* A reload: returns 0, or -1 with *why set and everything as it was. */
	int (*configure)(void *state, const struct config *config, struct fail *why);
	void (*reopen)(void *state); /* files, after a rotation */
	void (*stop)(void *state); /* NULL is fine */
	/* A request was slow, was refused or has failed. */
	void (*report)(void *state, const struct request_report *report, const struct report_sql *sql, uint64_t now_us);
	/* Metrics, behind the core's, each with its place among sample()'s numbers; the last one has no name. */
	const struct metric_family *metrics;
	void (*sample)(void *state, uint64_t numbers[MODULE_NUMBERS_MAX]);
};

extern const struct module *const modules[MODULE_COUNT + 1]; /* modules/modules.c; ends with NULL */
