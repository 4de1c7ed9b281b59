/*
 * src/login/tenant.h - finds the tenant that a client means, in the ways that Supabase uses. Pure.
 *
 *   options   reference=acme among the words of "options"
 *   user      postgres.acme: the part after the last dot, if it can be a tenant's name
 *   sni       acme.pooler.example.com, TLS's server name; in lower case
 */
#pragma once

#include "base/fail.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/* The places where a client can name its tenant; NULL or false where that is not enabled. */
struct tenant_question {
	const char *user;
	bool may_be_in_user;
	const char *reference; /* from options */
	const char *server_name;
	const char *domain; /* only server names like TENANT.domain count; empty: the first part of any name does */
};
struct tenant_answer {
	char tenant[CONFIG_NAME_MAX + 1]; /* empty: none was named */
	size_t user_len; /* the length of user without the tenant */
};

/* Returns 0, or -1 with *why set (28000): it can't be a tenant's name, or two different ones are named. Which tenants
 * are configured plays no part. */
int tenant_find(const struct tenant_question *q, struct tenant_answer *a, struct fail *why);
