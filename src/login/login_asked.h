/*
 * src/login/login_asked.h - facts about a client that HBA rules and maps need and that pgweir must look up first: the
 * host name of the client's address, and whether the client's user is a member of a role.
 *
 * Host names are confirmed as in PostgreSQL (hba.c: check_hostname): pgweir looks up the name of the client's address
 * and, if that name fits a rule, the name's addresses, among which the client's address must be. So a login costs at
 * most two lookups, whatever the number of rules; the two have five seconds together. A client whose name is not
 * confirmed in this way fits no rule with a host name. If a role can't be looked up, the login is refused, because the
 * rule might be the one that rejects the client.
 *
 * Each answer is kept until the login has found its rule and checked its user, because after each answer all rules are
 * matched again, beginning with the first rule.
 */
#pragma once

#include "login/login_steps.h"

/* Callbacks for hba_match() and ident_allows(). `client` is the struct client. They return HBA_LATER after they have
 * begun a lookup, and also if no lookup can be begun; login_repeat_later() then finds out which. */
enum hba_fit login_ask_name(const char *word, void *client);
enum hba_fit login_ask_member(const char *role, void *client);
/* Makes the login wait for the lookup that was begun, and returns 1. When the answer has come, `again` is called, which
 * must match all rules once more. Returns -1 with *why set if no lookup could be begun. */
int login_repeat_later(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);
/* Called about every 100 ms. If name servers are too slow, ends their lookup, lets the login go on, and returns true; c
 * may be closed then. */
bool login_end_late_names(struct client *c, uint64_t now_us);
void login_asked_free(struct client_login *l); /* no lookup may be running */
