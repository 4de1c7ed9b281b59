/*
 * src/login/tenant.h - which tenant a client means: Supabase's ways to say it. Pure.
 *
 *   options   reference=acme among the words of "options"
 *   user      postgres.acme: what follows the last dot, if it could be a tenant's name
 *   sni       acme.pooler.example.com, by the server name of TLS; in small letters
 */
#ifndef PGWEIR_LOGIN_TENANT_H
#define PGWEIR_LOGIN_TENANT_H

#include "base/fail.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/* What a client sent. Ways that are not switched on are left NULL or false. */
struct tenant_question {
	const char *user;
	bool may_be_in_user;
	const char *reference; /* of options */
	const char *server_name;
	const char
	    *domain; /* server names are TENANT.domain, all others name none; empty: the first part of any name */
};
struct tenant_answer {
	char tenant[CONFIG_NAME_MAX + 1]; /* empty: none was named */
	size_t user_len; /* bytes of user that are its name without the tenant */
};

/* -1 and why (28000): it can't be a tenant's name, or two are named. What is configured plays no part. */
int tenant_find(const struct tenant_question *q, struct tenant_answer *a, struct fail *why);

#endif
