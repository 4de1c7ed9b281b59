/*
 * src/login/login_asked.h - what HBA rules and maps ask about a client, and pgweir must look up first: the host name of
 * the client's address, and whether its user is a member of a role.
 *
 * A name counts as in PostgreSQL (hba.c: check_hostname): the address is looked up, and if the resulting name fits a
 * rule, the name's addresses are looked up, and the client's address must be among them. So a login costs at most two
 * lookups, whatever the number of rules; the two have five seconds together. A client whose name is not confirmed in
 * this way fits no rule with a host name. If a role can't be looked up, the login is refused, because the rule might be
 * the one that rejects the client.
 *
 * Each answer is kept until the login has found its rule and checked its user, because after an answer the rules are
 * matched again from the first one.
 */
#pragma once

#include "login/login_steps.h"

/* Callbacks for hba_match() and ident_allows(). `client` is the struct client. They return HBA_LATER after they have
 * begun a lookup, or if none can be begun: login_repeat_later() tells these two apart. */
enum hba_fit login_ask_name(const char *word, void *client);
enum hba_fit login_ask_member(const char *role, void *client);
/* Makes the login wait for the lookup that was begun, and returns 1. Once the answer is there, `again` is called, and
 * must ask everything once more. Returns -1 with *why set if no answer can come. */
int login_repeat_later(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);
/* Called about every 100 ms. If name servers are too slow, ends their lookup, lets the login go on, and returns true; c
 * may be closed then. */
bool login_end_late_names(struct client *c, uint64_t now_us);
void login_asked_free(struct client_login *l); /* no lookup may be running */
