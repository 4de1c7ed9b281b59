/*
 * src/setup/setup.h - makes the objects that a configuration names, all of them or none: users, rules, certificates,
 * logs. The sockets it listens on are listeners.h's.
 */
#ifndef PGWEIR_SETUP_SETUP_H
#define PGWEIR_SETUP_SETUP_H

#include "base/fail.h"
#include "base/log.h"
#include "config/config.h"
#include "net/tls.h"
#include "pool/tls_store.h"

/* --- client_tls.c --- */

/* Loads what clients' TLS needs; *out is NULL if they get none. Returns 0, or -1 with *why set. */
int setup_load_tls(const struct config *config, struct tls_context **out, struct fail *why);

/* --- run_as.c --- */

/* Call it as the user of run_as: logs a warning for each file that this user can't read, write or remove later. */
void setup_warn_as_user(const struct config *config, struct log *log);

#endif
